"""The terms of the losses against their formulas in NumPy."""

import numpy as np
import pytest

from lada_tf.models.losses import LOSSES, consistency, r1_penalty


def test_adversarial_losses():
    real, fake = np.array([-2.0, 0.5, 3.0]), np.array([-0.5, 1.5])
    softplus = lambda x: np.log1p(np.exp(x)).mean()  # noqa: E731
    loss = LOSSES["non_saturating"]
    assert float(loss.real(real)) == pytest.approx(softplus(-real), rel=1e-6)
    assert float(loss.fake(fake)) == pytest.approx(softplus(fake), rel=1e-6)
    assert float(loss.generator(fake)) == pytest.approx(softplus(-fake), rel=1e-6)
    loss = LOSSES["hinge"]
    assert float(loss.real(real)) == pytest.approx((3.0 + 0.5 + 0.0) / 3)
    assert float(loss.fake(fake)) == pytest.approx((0.5 + 2.5) / 2)
    assert float(loss.generator(fake)) == pytest.approx(-0.5)


def test_r1_is_the_mean_squared_norm_per_image():
    gradients = np.random.normal(size=(3, 4, 4, 2)).astype("float32")
    expected = (gradients.reshape(3, -1) ** 2).sum(1).mean()
    assert float(r1_penalty(gradients)) == pytest.approx(expected, rel=1e-5)


def test_consistency_is_the_mean_squared_difference():
    one, other = np.random.normal(size=(2, 3, 25)).astype("float32")
    expected = ((one - other) ** 2).mean()
    assert float(consistency(one, other)) == pytest.approx(expected, rel=1e-5)
