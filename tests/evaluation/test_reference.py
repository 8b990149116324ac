import os

import numpy as np
import pytest

from lada_tf.errors import UserError
from lada_tf.evaluation import reference as reference_module
from lada_tf.evaluation.reference import (
    cached_reference,
    compute_reference,
    is_reference,
    load_reference,
    save_reference,
)
from tests.evaluation.fakes import FakeExtractor, FakeSource


def test_a_reference_is_of_all_images(monkeypatch):
    monkeypatch.setattr(reference_module, "MANIFOLD_IMAGES", 20)
    source = FakeSource()
    reference = compute_reference(source, FakeExtractor(), batch_size=7)
    pool = source.array[:, :2, :2].reshape(60, 12)
    np.testing.assert_allclose(reference.pool.mean, pool.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(
        reference.pool.covariance, np.cov(pool, rowvar=False), rtol=1e-9
    )
    assert len(reference.images) == 20
    np.testing.assert_array_equal(
        reference.features, FakeExtractor()(reference.images).pool
    )


def test_random_images_are_the_same_each_time():
    first, again = (
        compute_reference(FakeSource(), FakeExtractor(), 30) for _ in range(2)
    )
    np.testing.assert_array_equal(first.images, again.images)
    assert first.pool.count == 30
    assert len(np.unique(first.images, axis=0)) == 30
    # They are not simply the first images.
    assert (first.images != FakeSource().array[:30]).any()


def test_too_few_images():
    with pytest.raises(UserError, match=r"num_real=61: .* only 60"):
        compute_reference(FakeSource(), FakeExtractor(), 61)


def test_the_cache_reads_the_images_once(tmp_path):
    source, cache_dir = FakeSource(), str(tmp_path / "new")
    first = cached_reference(source, FakeExtractor(), cache_dir)
    reads = source.reads
    second = cached_reference(source, FakeExtractor(), cache_dir)
    assert source.reads == reads
    np.testing.assert_array_equal(first.pool.covariance, second.pool.covariance)
    np.testing.assert_array_equal(first.features, second.features)
    assert second.origin == source.fingerprint


@pytest.mark.parametrize(
    ("source", "extractor", "count"),
    [
        (FakeSource(seed=1), FakeExtractor(), None),
        (FakeSource(), FakeExtractor(identity="inception_graph:other"), None),
        (FakeSource(), FakeExtractor(), 30),
    ],
)
def test_the_cache_tells_sources_and_extractors_apart(
    tmp_path, source, extractor, count
):
    cached_reference(FakeSource(), FakeExtractor(), str(tmp_path))
    cached_reference(source, extractor, str(tmp_path), count)
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("keep_images", [True, False])
def test_a_damaged_cache_is_replaced(tmp_path, keep_images):
    def cached():
        options = str(tmp_path), None, 64, keep_images
        return cached_reference(FakeSource(), FakeExtractor(), *options)

    first = cached()
    assert (first.images is not None) == keep_images
    [file] = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    for _ in range(2):
        again = cached()
        np.testing.assert_array_equal(again.features, first.features)
    assert is_reference(str(file))


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    reference = cached_reference(FakeSource(), FakeExtractor(), str(tmp_path))
    assert not os.listdir(tmp_path)  # a cache is not needed
    with pytest.raises(UserError, match="No space left"):
        save_reference(reference, str(tmp_path / "x.npz"), FakeExtractor())
    assert not os.listdir(tmp_path)


def adm_batch(path, **changes):
    """A file as the guided-diffusion repository publishes them."""
    made = compute_reference(FakeSource(), FakeExtractor())
    arrays = {
        "mu": made.pool.mean.astype(np.float32),
        "sigma": made.pool.covariance,
        "mu_s": made.spatial.mean.astype(np.float32),
        "sigma_s": made.spatial.covariance,
        "arr_0": FakeSource(seed=5).array,
    } | changes
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return made


def test_an_adm_batch(tmp_path):
    path = str(tmp_path / "batch.npz")
    made = adm_batch(path)
    assert is_reference(path)
    loaded = load_reference(path, FakeExtractor(), batch_size=7)
    # 1e-6: the file's means are float32.
    np.testing.assert_allclose(loaded.pool.mean, made.pool.mean, rtol=1e-6)
    np.testing.assert_array_equal(loaded.spatial.covariance, made.spatial.covariance)
    expected = FakeExtractor()(FakeSource(seed=5).array).pool
    np.testing.assert_array_equal(loaded.features, expected)


def test_an_adm_batch_is_of_the_inception_graph_alone(tmp_path):
    path = str(tmp_path / "batch.npz")
    adm_batch(path)
    with pytest.raises(UserError, match="made with inception_graph"):
        load_reference(path, FakeExtractor(identity="keras_inception_v3:abc"))


def test_other_tools_can_read_a_saved_reference(tmp_path):
    path = str(tmp_path / "out.npz")
    made = compute_reference(FakeSource(), FakeExtractor())
    save_reference(made, path, FakeExtractor())
    with np.load(path, allow_pickle=False) as file:
        assert {"mu", "sigma", "mu_s", "sigma_s", "arr_0"} <= set(file.files)
        np.testing.assert_array_equal(file["sigma_s"], made.spatial.covariance)
        np.testing.assert_array_equal(file["arr_0"], made.images)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma": None}, "lacks .*sigma"),
        ({"mu": np.zeros(5), "sigma": np.eye(5)}, "another extractor"),
        ({"sigma": np.eye(5)}, "covariance"),
        ({"sigma": np.full((12, 12), np.nan)}, "NaN"),
        ({"arr_0": np.array([{}], dtype=object)}, "without pickles"),
        ({"arr_0": np.zeros((3, 8, 8, 3))}, "uint8"),
        ({"extractor": np.array("small_classifier:abc")}, "made with small_classifier"),
        ({"extractor": np.array(["a", "b"])}, "extractor"),
        ({"extractor": np.array(3)}, "extractor"),
        ({"count": np.zeros(3, int)}, "count"),
        ({"count": np.array("many")}, "count"),
        ({"mu": np.zeros(12, complex)}, "mu must"),
        ({"mu": np.array(["0"] * 12)}, "mu must"),
        ({"mu": np.zeros(12, [("a", "f8")])}, "mu must"),
        ({"mu": np.zeros(())}, "mu must"),
        ({"sigma_s": None}, "sigma_s"),
        ({"features": np.zeros(12)}, "features must"),
        ({"features": np.full((3, 12), np.nan)}, "NaN"),
        ({"features": np.zeros((3, 12))}, "differ in length"),
        ({"arr_0": np.zeros((3, 8, 8, 1), np.uint8)}, "RGB"),
        ({"arr_0": np.zeros((3, 0, 8, 3), np.uint8)}, "RGB"),
    ],
)
def test_bad_files(tmp_path, changes, message):
    path = str(tmp_path / "batch.npz")
    adm_batch(path, **changes)
    with pytest.raises(UserError, match=message):
        load_reference(path, FakeExtractor())


def test_a_cut_off_file(tmp_path):
    path = tmp_path / "batch.npz"
    adm_batch(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert not is_reference(str(path))
    with pytest.raises(UserError, match=r"batch\.npz is not an \.npz"):
        load_reference(str(path), FakeExtractor())


def test_a_fifo_is_no_reference(tmp_path):
    path = str(tmp_path / "a.npz")
    os.mkfifo(path)
    assert not is_reference(path)
    with pytest.raises(UserError, match="not a regular file"):
        load_reference(path, FakeExtractor())
