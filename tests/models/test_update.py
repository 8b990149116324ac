"""One update in parts, and in lower precision, against the plain one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lada_tf.kernels.adam import FusedAdam
from lada_tf.models import LadaGAN
from lada_tf.models.cost import count_step_flops
from lada_tf.models.lada_gan import METRICS
from lada_tf.models.objectives import real_logits_and_r1

pytestmark = pytest.mark.usefixtures("as_traced")

SMALL = {
    "g_widths": (16, 8, 8),
    "d_widths": (4, 8),
    "d_out_widths": (8, 8),
    "g_mlp_dim": (8,),
    "d_mlp_dim": 8,
    "latent_dim": 5,
    "augment": "color,translation,cutout",
}
BCR = {"bcr_real": 0.5, "bcr_fake": 2.0}
DECODER = {"g_widths": (16, 8), "output_head": "decoder", "decoder_widths": (8,)}


def train(
    steps,
    precision="float32",
    gradient_accumulation_steps=1,
    gradient_checkpointing=False,
    overlap=False,
    **changes,
):
    """Weights before and after plain gradient descent, and the steps' metrics.

    Adam would make a step of a gradient that is nothing but rounding.
    """
    gan = make(precision, **changes)
    optimizers = [keras.optimizers.SGD(0.002) for _ in range(2)]
    if precision == "float16":
        optimizers = map(keras.optimizers.LossScaleOptimizer, optimizers)
    gan.compile(
        *optimizers,
        gradient_accumulation_steps=gradient_accumulation_steps,
        gradient_checkpointing=gradient_checkpointing,
        overlap=overlap,
    )
    step = as_graph(gan.step)
    before = weights(gan)
    values, finite = zip(*map(step, real_batches(steps)), strict=True)
    assert all(finite)
    return before, weights(gan), np.array(values)


def as_graph(step):
    return tf.function(step, autograph=False)


def make(precision="float32", **changes):
    keras.utils.set_random_seed(0)
    return LadaGAN.from_preset("tiny", precision=precision, **{**SMALL, **changes})


def real_batches(count):
    return keras.random.uniform((count, 8, 32, 32, 3), -1, 1, seed=1)


def weights(gan):
    networks = (gan.generator, gan.discriminator)
    return np.concatenate([np.ravel(w) for n in networks for w in n.get_weights()])


@pytest.mark.parametrize("changes", [{}, BCR])
def test_micro_batches_give_the_whole_batch_s_gradients(changes):
    """But for batch normalization, which is off here."""
    before, whole, metrics = train(3, d_batch_norm=False, **changes)
    _, parts, metrics_of_parts = train(
        3, gradient_accumulation_steps=4, d_batch_norm=False, **changes
    )
    assert np.abs(whole - before).max() > 1e-3
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    np.testing.assert_allclose(metrics_of_parts, metrics, rtol=1e-4, atol=1e-6)
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


def test_gradient_checkpointing_computes_activations_again():
    flops = []
    for gradient_checkpointing in (False, True):
        gan = make()
        gan.compile(gradient_checkpointing=gradient_checkpointing)
        flops.append(count_step_flops(gan, 4))
    assert 1.2 < flops[1] / flops[0] < 1.7


@pytest.mark.parametrize("gradient_accumulation_steps", [1, 2])
def test_parts_that_overlap_give_the_same_step(gradient_accumulation_steps):
    before, in_turn, metrics = train(
        3, gradient_accumulation_steps=gradient_accumulation_steps
    )
    _, at_once, metrics_at_once = train(
        3, gradient_accumulation_steps=gradient_accumulation_steps, overlap=True
    )
    assert np.abs(in_turn - before).max() > 1e-3
    np.testing.assert_allclose(at_once, in_turn, atol=1e-6)
    np.testing.assert_allclose(metrics_at_once, metrics, rtol=1e-4, atol=1e-6)


def test_halves_in_the_discriminator_for_the_generator():
    """Where parts overlap and the batch has halves."""

    def attentions(batch_size, overlap):
        gan = make()
        gan.compile(overlap=overlap)
        images = tf.TensorSpec((batch_size, 32, 32, 3))
        graph = as_graph(gan.step).get_concrete_function(images).graph
        return sum(op.type == "Softmax" for op in graph.get_operations())

    whole = attentions(6, overlap=False)
    assert attentions(6, overlap=True) == whole + 1
    assert attentions(7, overlap=True) == whole


def test_a_discriminator_of_a_user_s_knows_no_halves():
    own = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(25)])
    own.image_size = 32
    own.build((None, 32, 32, 3))
    gan = LadaGAN(make().generator, own)
    gan.compile(overlap=True)
    _, finite = as_graph(gan.step)(real_batches(1)[0])
    assert finite


@pytest.mark.parametrize("overlap", [False, True])
def test_overlapping_parts_do_not_wait_for_one_another(overlap):
    gan = make()
    gan.compile(overlap=overlap)
    graph = as_graph(gan.step).get_concrete_function(real_batches(1)[0]).graph
    operations = graph.get_operations()
    _, latents_of_generator = (
        op for op in operations if op.type == "StatelessRandomNormalV2"
    )
    _, real_pass, *_ = (
        op for op in operations if op.type == "Conv2D" and op.inputs[0].shape[-1] == 3
    )
    for start in (real_pass, latents_of_generator):
        kinds = {op.type for op in ancestors(start)}
        assert ("Conv2DBackpropFilter" in kinds) != overlap


def ancestors(op):
    """Everything that runs before it does."""
    found, todo = set(), [op]
    while todo:
        op = todo.pop()
        before = {x.op for x in op.inputs}.union(op.control_inputs) - found
        found |= before
        todo += before
    return found


def test_lazy_r1_counts_each_kth_step_k_times():
    _, lazy, metrics = train(2, r1_interval=2, r1_gamma=0.5)
    gan = make()
    gan.compile(keras.optimizers.SGD(0.002), keras.optimizers.SGD(0.002))
    expected = []
    for gan.r1_gamma, batch in zip((1.0, 0.0), real_batches(2), strict=True):
        expected.append(as_graph(gan.step)(batch)[0])
    np.testing.assert_allclose(lazy, weights(gan), atol=1e-6)
    total, r1 = METRICS.index("d_total_loss"), METRICS.index("r1")
    np.testing.assert_allclose(
        metrics[:, total], np.array(expected)[:, total], rtol=1e-5
    )
    np.testing.assert_allclose(metrics[:, r1], [2 * expected[0][r1], 0], rtol=1e-5)


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
        gan = make(precision)
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
