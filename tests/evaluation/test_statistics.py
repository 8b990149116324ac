import numpy as np
import pytest

from lada_tf.errors import UserError
from lada_tf.evaluation import FeatureStatistics, StreamingStatistics
from lada_tf.evaluation.statistics import fit_statistics
from tests.evaluation.recipes import features


@pytest.mark.parametrize("batch", [1, 7, 5000])
def test_equals_numpy_for_any_batch_size(batch):
    values = features(0, 5000, 24) + 1e4
    streaming = StreamingStatistics()
    for start in range(0, 5000, batch):
        streaming.update(values[start : start + batch])
    result = streaming.result()
    # 1e-9: the offset costs NumPy's mean 4 of 16 digits.
    np.testing.assert_allclose(result.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(
        result.covariance, np.cov(values, rowvar=False), atol=1e-9
    )
    assert result.count == 5000


def test_float32_is_summed_in_float64():
    values = (features(0, 3000, 8) + 1000).astype(np.float32)
    expected = np.cov(values.astype(np.float64), rowvar=False)
    np.testing.assert_allclose(fit_statistics(values).covariance, expected, rtol=1e-9)


def test_a_constant_channel_has_no_variance():
    values = features(0, 5000, 4)
    values[:, 1] = 0.1  # not a binary fraction, so its naive mean is not 0.1
    assert (fit_statistics(values).covariance[1] == 0).all()


def test_a_result_does_not_change_afterwards():
    streaming = StreamingStatistics()
    streaming.update(features(0, 10, 4))
    before = streaming.result()
    mean, covariance = before.mean.copy(), before.covariance.copy()
    streaming.update(features(1, 10, 4))
    np.testing.assert_array_equal(before.mean, mean)
    np.testing.assert_array_equal(before.covariance, covariance)


def test_bad_input():
    streaming = StreamingStatistics()
    streaming.update(np.ones((1, 4)))
    with pytest.raises(UserError, match="at least 2 images"):
        streaming.result()
    with pytest.raises(UserError, match=r"5 channels; .* 4"):
        streaming.update(np.ones((1, 5)))
    with pytest.raises(UserError, match="NaN"):
        streaming.update(np.full((1, 4), np.nan))
    with pytest.raises(UserError, match=r"mean \(d,\)"):
        FeatureStatistics(np.zeros(4), np.zeros((4, 3)))
