"""One update in parts, and in lower precision, against the plain one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lada_tf.models import LadaGAN
from lada_tf.models.adam import FusedAdam
from lada_tf.models.lada_gan import METRICS
from lada_tf.models.objectives import real_logits_and_r1

SMALL = {
    "g_widths": (16, 8, 8),
    "d_widths": (4, 8),
    "d_out_widths": (8, 8),
    "g_mlp": (8,),
    "d_mlp": 8,
    "latent_dim": 5,
    "augment": "color,translation,cutout",
}
BCR = {"bcr_real": 0.5, "bcr_fake": 2.0}


def train(steps, precision="float32", accumulate=1, **changes):
    """Weights before and after plain gradient descent, and the steps' metrics.

    Adam would make a step of a gradient that is nothing but rounding.
    """
    keras.utils.set_random_seed(0)
    gan = LadaGAN.from_preset("tiny", precision=precision, **{**SMALL, **changes})
    optimizers = [keras.optimizers.SGD(0.002) for _ in range(2)]
    if precision == "float16":
        optimizers = map(keras.optimizers.LossScaleOptimizer, optimizers)
    gan.compile(*optimizers, accumulate=accumulate)
    step = tf.function(gan.step)
    before = weights(gan)
    real = keras.random.uniform((steps, 8, 32, 32, 3), -1, 1, seed=1)
    values, finite = zip(*[step(batch) for batch in real], strict=True)
    assert all(finite)
    return before, weights(gan), np.array(values)


def weights(gan):
    networks = (gan.generator, gan.discriminator)
    return np.concatenate([np.ravel(w) for n in networks for w in n.get_weights()])


@pytest.mark.parametrize("changes", [{}, BCR])
def test_micro_batches_give_the_whole_batch_s_gradients(changes):
    """But for batch normalization, which is off here."""
    before, whole, metrics = train(3, d_batch_norm=False, **changes)
    _, parts, metrics_of_parts = train(3, accumulate=4, d_batch_norm=False, **changes)
    assert np.abs(whole - before).max() > 1e-3
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    np.testing.assert_allclose(metrics_of_parts, metrics, rtol=1e-4, atol=1e-6)
    consistency = metrics[:, METRICS.index("consistency_real")]
    assert (consistency > 0).all() == (changes == BCR)


@pytest.fixture(scope="module")
def in_float32():
    return train(50)


# Of the distance travelled. float16's includes the steps that were skipped while the
# loss scale was too high.
@pytest.mark.parametrize(("precision", "bound"), [("bfloat16", 0.06), ("float16", 0.2)])
def test_fifty_steps_stay_close_to_float32(in_float32, precision, bound):
    before, expected, metrics = in_float32
    _, after, rounded = train(50, precision)
    distance = np.linalg.norm(after - expected) / np.linalg.norm(expected - before)
    assert 1e-4 < distance < bound
    for name, tolerance in (("d_loss", 0.01), ("g_loss", 0.01), ("r1", 0.02)):
        index = METRICS.index(name)
        np.testing.assert_allclose(rounded[0, index], metrics[0, index], rtol=tolerance)


def test_r1_of_tiny_gradients_is_not_lost_in_float16():
    """Their squares are below float16's smallest number, 6e-8."""
    results = []
    for precision in ("float32", "float16"):
        keras.utils.set_random_seed(0)
        gan = LadaGAN.from_preset("tiny", precision=precision, **SMALL)
        gan.discriminator.to_logits.kernel.assign(
            gan.discriminator.to_logits.kernel * 1e-4
        )
        real = keras.random.uniform((4, 32, 32, 3), -1, 1, seed=1)
        results.append(real_logits_and_r1(gan.discriminator, real)[1])
    assert 0 < results[0] < 1e-5
    np.testing.assert_allclose(results[1], results[0], rtol=0.02)


def test_fused_adam_is_adam():
    start = [keras.random.normal((7, 3), seed=n) for n in range(2)]
    ends = []
    for adam in (keras.optimizers.Adam, FusedAdam):
        optimizer = adam(0.01, beta_1=0.5, beta_2=0.99)
        variables = [keras.Variable(value) for value in start]
        for step in range(5):
            gradients = [keras.random.normal((7, 3), seed=step) * v for v in variables]
            optimizer.apply(gradients, variables)
        ends.append([*variables, *optimizer.variables])
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
