"""Fake data sets, written by TFDS's own writers, read through the genuine builders."""

import time

import numpy as np
import pytest
import tensorflow_datasets as tfds

from lada_tf.data import open_source
from lada_tf.data.readers import open_reader
from lada_tf.errors import UserError


def store(folder, name: str, images: dict[str, list[np.ndarray]], config=None) -> None:
    """Writes splits of `images` in the place and format of the genuine data set."""
    genuine = tfds.builder(f"{name}/{config}" if config else name, data_dir=folder)
    features = genuine.info.features
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        config=config,
        version=str(genuine.version),
        data_dir=folder,
        features=features,
        split_datasets={
            split: [
                (key, {**blank(features), "image": image})
                for key, image in enumerate(examples)
            ]
            for split, examples in images.items()
        },
        disable_shuffling=True,
    )


def blank(feature):
    """An example of the feature: empty text, zeros, False."""
    if isinstance(feature, tfds.features.FeaturesDict):
        return {key: blank(part) for key, part in feature.items() if key != "image"}
    if isinstance(feature, tfds.features.Text):
        return ""
    return np.zeros((), feature.np_dtype)


def noise(count: int, *shape: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8))


@pytest.fixture(scope="module")
def tfds_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    cifar = noise(60, 32, 32, 3)
    store(folder, "cifar10", {"train": cifar[:50], "test": cifar[50:]})
    smooth = [np.full((218, 178, 3), 10 * i, np.uint8) for i in range(12)]
    store(folder, "celeb_a", {"train": smooth})
    sizes = [(40 + i, 70 - i) for i in range(6)]
    rooms = [np.full((*size, 3), 20 * i, np.uint8) for i, size in enumerate(sizes)]
    store(folder, "lsun", {"train": rooms}, config="bedroom")
    return folder


@pytest.fixture(autouse=True)
def data_dir(tfds_folder, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_folder))


def every(source) -> np.ndarray:
    return source.images(np.arange(len(source)))


def test_cifar10_with_splits_and_slices():
    cifar = np.stack(noise(60, 32, 32, 3))
    for split, expected in {
        "": cifar[:50],
        ":train": cifar[:50],
        ":test": cifar[50:],
        ":train[:20%]": cifar[:10],
        ":train[20:30]": cifar[20:30],
        ":train[45:]+test[:5]": cifar[45:55],
    }.items():
        source = open_source(f"tfds:cifar10{split}", 32)
        np.testing.assert_array_equal(every(source), expected)


def test_any_range_can_be_read():
    reader = open_reader("tfds:cifar10:train[45:]+test[:5]")
    whole = [(item.name, item.load()) for item in reader.items(0, 10)]
    for start, stop in ((0, 2), (4, 6), (5, 10), (9, 10), (3, 3)):
        part = [(item.name, item.load()) for item in reader.items(start, stop)]
        assert part == whole[start:stop]


def test_celeb_a_is_resized_whole():
    images = every(open_source("tfds:celeb_a", 64))
    assert images.shape == (12, 64, 64, 3)
    # JPEG inside: flat colours survive to a level.
    means = images.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, np.arange(12) * 10, atol=1)


def test_lsun_bedroom_of_any_size():
    images = every(open_source("tfds:lsun/bedroom", 32, resize="lsun"))
    assert images.shape == (6, 32, 32, 3)
    np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), np.arange(6) * 20, atol=1)


def test_fingerprints_differ_by_data_set_and_slice():
    specs = ["cifar10", "cifar10:test", "cifar10:train[:10]", "cifar10:train[10:20]"]
    sources = [open_source(f"tfds:{spec}", 32) for spec in specs]
    assert len({source.fingerprint for source in sources}) == 4
    same = open_source("tfds:cifar10:train[:20%]", 32)
    assert same.fingerprint == sources[2].fingerprint


def test_what_is_not_prepared_is_an_error_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(UserError, match=r"--download.*tfds build cifar10"):
        open_source("tfds:cifar10", 32)
    # TFDS's own retries take minutes.
    assert time.monotonic() - start < 5
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tfds:nonesuch", "tfds:nonesuch is not in TFDS"),
        ("tfds:lsun/kitchenette", "lsun/kitchenette"),
        ("tfds:cifar10:validation", "there are train, test|there are test, train"),
        ("tfds:cifar10:train[", "no such split"),
        ("tfds:cifar10:train[90%:10%]", "holds no image|no such split"),
    ],
)
def test_wrong_names(spec, message):
    with pytest.raises(UserError, match=message) as caught:
        open_source(spec, 32)
    assert "\n" not in str(caught.value)
