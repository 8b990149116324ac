import numpy as np
import pytest

from lada_tf.errors import UserError
from lada_tf.evaluation.extract_features import (
    choose_features,
    compute_features,
    open_extractor,
)
from tests.evaluation.fakes import FakeExtractor
from tests.evaluation.recipes import images


def test_features_do_not_depend_on_the_batches():
    array = images(0, 60, 8)
    whole = compute_features([array], 60, FakeExtractor())
    split = compute_features(np.array_split(array, 7), 60, FakeExtractor())
    np.testing.assert_array_equal(whole.features, FakeExtractor()(array).pool)
    np.testing.assert_array_equal(whole.features, split.features)
    np.testing.assert_array_equal(whole.probabilities, split.probabilities)
    np.testing.assert_allclose(whole.pool.mean, split.pool.mean, rtol=1e-12)
    np.testing.assert_allclose(whole.spatial.mean, split.spatial.mean, rtol=1e-12)


@pytest.mark.parametrize("num_features", [0, 13, 20])
def test_statistics_cover_all_images_and_features_the_first(num_features):
    array = images(0, 20, 8)
    result = compute_features(
        [array[:10], array[10:]], 20, FakeExtractor(), num_features
    )
    assert result.pool.count == 20
    expected = FakeExtractor()(array).pool[:num_features]
    np.testing.assert_array_equal(result.features, expected)


@pytest.mark.parametrize("num_images", [15, 21])
def test_a_wrong_number_of_images(num_images):
    batches = [images(0, 10, 8), images(1, 10, 8)]
    with pytest.raises(UserError, match=f"num_images={num_images} .* 20 images"):
        compute_features(batches, num_images, FakeExtractor())


def test_no_images():
    with pytest.raises(UserError):
        compute_features([], 0, FakeExtractor())


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((1, 32, 32, 1), np.uint8),
        np.zeros((1, 32, 32, 3), np.float32),
    ],
)
def test_batches_of_another_shape_or_dtype(batch):
    with pytest.raises(UserError, match="must be uint8"):
        FakeExtractor()(batch)


def test_an_unknown_extractor():
    with pytest.raises(UserError, match="features=unknown does not exist"):
        open_extractor("unknown")


def test_the_features_of_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert choose_features(64) == "small_classifier"
    with pytest.raises(UserError, match=r"image_size=128.*eval_features=small_class"):
        choose_features(128)
    path = tmp_path / "lada_tf" / "classify_image_graph_def.pb"
    path.parent.mkdir()
    path.touch()
    assert {choose_features(size) for size in (32, 128)} == {"inception"}
