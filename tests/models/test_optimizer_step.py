"""Optimizer steps in micro-batches, with checkpointing and in lower precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lada_tf.models import LadaGAN
from lada_tf.models.losses import (
    METRICS,
    logits_and_input_gradients,
    r1_penalty,
)
from lada_tf.models.optimizer_step import OptimizerStep, indivisible_batch
from tests.models.step_flops import count_step_flops
from tests.small import SMALL

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("as_traced")]

CHANGES = {**SMALL, "augment": "color,translation,cutout"}
DEEP = {"base_resolution": 8, "g_widths": (16, 8, 8)}
BCR = {"bcr_real": 0.5, "bcr_fake": 2.0}
DECODER = {"base_resolution": 8, "output_head": "decoder", "decoder_widths": (8,)}


def train(
    steps,
    precision="float32",
    gradient_accumulation_steps=1,
    gradient_checkpointing=False,
    **changes,
):
    """Return weights before and after plain gradient descent, and all metrics.

    Adam would turn a gradient that consists of rounding errors into a full step.
    """
    gan = make(precision, **changes)
    optimizers = [keras.optimizers.SGD(0.002) for _ in range(2)]
    if precision == "float16":
        optimizers = map(keras.optimizers.LossScaleOptimizer, optimizers)
    gan.compile(
        *optimizers,
        gradient_accumulation_steps=gradient_accumulation_steps,
        gradient_checkpointing=gradient_checkpointing,
    )
    step = as_graph(gan)
    before = weights(gan)
    values = [list(step(batch).values()) for batch in real_batches(steps)]
    assert np.isfinite(values).all()
    return before, weights(gan), np.array(values)


def as_graph(gan):
    return tf.function(gan.train_step, autograph=False)


def make(precision="float32", **changes):
    keras.utils.set_random_seed(0)
    return LadaGAN.from_preset("tiny", precision=precision, **{**CHANGES, **changes})


def real_batches(count):
    return keras.random.uniform((count, 8, 32, 32, 3), -1, 1, seed=1)


def weights(gan):
    networks = (gan.generator, gan.discriminator)
    return np.concatenate([np.ravel(w) for n in networks for w in n.get_weights()])


def test_a_batch_that_cannot_be_split_is_always_reported_by_its_cause():
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    step = OptimizerStep(network, None, keras.random.SeedGenerator(0), 2)

    @tf.function(input_signature=[tf.TensorSpec((None, 1))])
    def split(batch):
        return [rows for _, rows in step.micro_batches(batch)]

    for _ in range(50):  # operations of a graph can run in any order
        with pytest.raises(tf.errors.InvalidArgumentError) as error:
            split(tf.ones((3, 1)))
        assert indivisible_batch(2) in str(error.value)


@pytest.mark.parametrize("changes", [{}, BCR])
def test_micro_batches_give_the_gradients_of_the_whole_batch(changes):
    """Batch normalization, which sees one micro-batch at a time, is off here."""
    before, whole, metrics = train(3, d_batch_norm=False, **changes)
    _, in_parts, metrics_in_parts = train(
        3, gradient_accumulation_steps=2, d_batch_norm=False, **changes
    )
    assert np.abs(whole - before).max() > 1e-3
    np.testing.assert_allclose(in_parts, whole, atol=1e-6)
    np.testing.assert_allclose(metrics_in_parts, metrics, rtol=1e-4, atol=1e-6)
    consistency = metrics[:, METRICS.index("consistency_real")]
    assert (consistency > 0).all() == (changes == BCR)


@pytest.mark.parametrize("changes", [{"r1_interval": 2}, BCR | DECODER])
def test_gradient_checkpointing_gives_the_same_gradients(changes):
    changes = {"r1_gamma": 0.01, **changes}
    before, plain, metrics = train(2, **changes)
    _, again, metrics_again = train(2, gradient_checkpointing=True, **changes)
    assert np.abs(plain - before).max() > 1e-3
    np.testing.assert_allclose(again, plain, atol=1e-6)
    np.testing.assert_allclose(metrics_again, metrics, rtol=1e-4, atol=1e-6)


def test_gradient_checkpointing_recomputes_activations():
    flops = []
    for gradient_checkpointing in (False, True):
        gan = make()
        gan.compile(gradient_checkpointing=gradient_checkpointing)
        flops.append(count_step_flops(gan, 4))
    assert 1.2 < flops[1] / flops[0] < 1.7


def test_lazy_r1_counts_every_kth_step_k_times():
    """One step with R1 at twice its weight, then one without R1."""
    _, _, lazy = train(2, r1_interval=2, r1_gamma=0.5)
    _, _, expected = train(2, r1_gamma=1.0)
    r1, total, loss = map(METRICS.index, ("r1", "d_total_loss", "d_loss"))
    np.testing.assert_allclose(lazy[0, r1], 2 * expected[0, r1], rtol=1e-5)
    others = np.arange(len(METRICS)) != r1
    np.testing.assert_allclose(lazy[0, others], expected[0, others], rtol=1e-5)
    assert lazy[1, r1] == 0
    assert lazy[1, total] == lazy[1, loss]
    # The first steps made the same update, so the second ones start with equal losses.
    np.testing.assert_allclose(lazy[1, loss], expected[1, loss], rtol=1e-5)


@pytest.fixture(scope="module")
def in_float32():
    return train(50, **DEEP)


# Bounds of the difference, relative to the distance traveled. float16's includes the
# steps that were skipped while the loss scale was too high.
@pytest.mark.parametrize(("precision", "bound"), [("bfloat16", 0.06), ("float16", 0.2)])
def test_fifty_steps_stay_close_to_float32(in_float32, precision, bound):
    before, expected, metrics = in_float32
    _, after, rounded = train(50, precision, **DEEP)
    distance = np.linalg.norm(after - expected) / np.linalg.norm(expected - before)
    assert 1e-4 < distance < bound
    for name, tolerance in (("d_loss", 0.01), ("g_loss", 0.01), ("r1", 0.02)):
        index = METRICS.index(name)
        np.testing.assert_allclose(rounded[0, index], metrics[0, index], rtol=tolerance)


def test_r1_of_tiny_gradients_is_not_lost_in_float16():
    """Their squares are below float16's smallest number, 6e-8."""
    results = []
    for precision in ("float32", "float16"):
        gan = make(precision)
        gan.discriminator.to_logits.kernel.assign(
            gan.discriminator.to_logits.kernel * 1e-4
        )
        real = keras.random.uniform((4, 32, 32, 3), -1, 1, seed=1)
        _, gradients = logits_and_input_gradients(gan.discriminator, real)
        results.append(r1_penalty(gradients))
    assert 0 < results[0] < 1e-5
    np.testing.assert_allclose(results[1], results[0], rtol=0.02)
