"""Small fake datasets, written by TFDS and read by the real dataset builders."""

import time

import numpy as np
import pytest
import tensorflow_datasets as tfds

from lada_tf.data import open_source
from lada_tf.data.opening import open_reader
from lada_tf.errors import UserError


def store(
    data_dir, name: str, images: dict[str, list[np.ndarray]], config=None
) -> None:
    """Write splits of `images` in the directory and format of the real dataset."""
    builder = tfds.builder(f"{name}/{config}" if config else name, data_dir=data_dir)
    features = builder.info.features
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        config=config,
        version=str(builder.version),
        data_dir=data_dir,
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
    """Return an example of the feature: empty text, zeros or False."""
    if isinstance(feature, tfds.features.FeaturesDict):
        return {key: blank(part) for key, part in feature.items() if key != "image"}
    if isinstance(feature, tfds.features.Text):
        return ""
    return np.zeros((), feature.np_dtype)


def noise(count: int, *shape: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8))


@pytest.fixture(scope="module")
def tfds_data_dir(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("tfds")
    cifar = noise(60, 32, 32, 3)
    store(data_dir, "cifar10", {"train": cifar[:50], "test": cifar[50:]})
    smooth = [np.full((218, 178, 3), 10 * i, np.uint8) for i in range(12)]
    store(data_dir, "celeb_a", {"train": smooth})
    sizes = [(40 + i, 70 - i) for i in range(6)]
    rooms = [np.full((*size, 3), 20 * i, np.uint8) for i, size in enumerate(sizes)]
    store(data_dir, "lsun", {"train": rooms}, config="bedroom")
    return data_dir


@pytest.fixture(autouse=True)
def data_dir(tfds_data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_data_dir))


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
    # The dataset stores JPEGs, which change flat colors by at most one level.
    means = images.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, np.arange(12) * 10, atol=1)


def test_lsun_bedroom_of_any_size():
    images = every(open_source("tfds:lsun/bedroom", 32, resize="lsun"))
    assert images.shape == (6, 32, 32, 3)
    np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), np.arange(6) * 20, atol=1)


def test_fingerprints_depend_on_dataset_and_slice():
    specs = ["cifar10", "cifar10:test", "cifar10:train[:10]", "cifar10:train[10:20]"]
    sources = [open_source(f"tfds:{spec}", 32) for spec in specs]
    assert len({source.fingerprint for source in sources}) == 4
    same = open_source("tfds:cifar10:train[:20%]", 32)
    assert same.fingerprint == sources[2].fingerprint


def test_fingerprints_depend_on_the_images(tmp_path, monkeypatch):
    images = noise(10, 32, 32, 3)
    fingerprints = []
    other = images[::-1]
    for name, changed in (("a", images), ("b", images), ("c", other)):
        (tmp_path / name).mkdir()
        store(tmp_path / name, "cifar10", {"train": changed})
        monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / name))
        fingerprints.append(open_source("tfds:cifar10", 32).fingerprint)
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_an_unprepared_dataset_raises_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(UserError, match=r"download=True.*tfds build cifar10"):
        open_source("tfds:cifar10", 32)
    # TFDS itself retries for minutes.
    assert time.monotonic() - start < 5
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tfds:nonesuch", "data=tfds:nonesuch"),
        ("tfds:lsun/kitchenette", "lsun/kitchenette"),
        ("tfds:cifar10:validation", "splits are train, test|splits are test, train"),
        ("tfds:cifar10:train[", "no such split"),
        ("tfds:cifar10:train[90%:10%]", "no images found|no such split"),
    ],
)
def test_invalid_names(spec, message):
    with pytest.raises(UserError, match=message) as caught:
        open_source(spec, 32)
    assert "\n" not in str(caught.value)
