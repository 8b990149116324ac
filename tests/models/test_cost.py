"""Costs equal those of the authors' code: parameters exactly, FLOPs within 1 %."""

import pytest

from lada_tf.models import PRESETS, LadaGAN
from lada_tf.models.cost import PAPER_COSTS, count_flops
from tests.models.step_flops import count_step_flops

# Preset, changes; parameters, GFLOP of G; parameters, GFLOP of D (None: not known).
CONV = {"d_attention": "conv", "d_batch_norm": False}
ZEROS = {"g_initializer": "zeros", "d_initializer": "zeros"}  # orthogonal takes seconds
COSTS = [
    ("cifar10", {}, 19_901_647, 1.525, 6_777_476, 1.421),
    ("cifar10", {"g_widths": (1024, 256, 128), **CONV}, 20_187_023, 1.841, None, 1.01),
    ("celeba64", {}, 19_900_351, 1.525, 7_006_660, 1.898),
    ("ffhq128", {}, 24_026_255, 8.696, 7_063_908, 2.383),
    ("bedroom128", {}, 24_026_255, 8.696, 7_063_908, 2.383),
    (
        "bedroom128",
        {"g_widths": (1024, 256, 64), "decoder_widths": (32, 16), **CONV},
        19_923_631,
        1.838,
        None,
        1.98,
    ),
    ("bedroom256", {}, 24_043_983, 11.171, 7_078_196, 2.883),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "changes", "g_count", "g_flops", "d_count", "d_flops"), COSTS
)
def test_cost(preset, changes, g_count, g_flops, d_count, d_flops):
    gan = LadaGAN.from_preset(preset, **changes, **ZEROS)
    assert gan.generator.count_params() == g_count
    assert count_flops(gan.generator) / 1e9 == pytest.approx(g_flops, rel=0.01)
    assert d_count is None or gan.discriminator.count_params() == d_count
    assert count_flops(gan.discriminator) / 1e9 == pytest.approx(d_flops, rel=0.01)


@pytest.mark.slow
def test_a_step_costs_what_its_passes_cost():
    """Count the forward and backward passes of both networks, with R1's."""
    gan = LadaGAN.from_preset("tiny")
    gan.compile()
    g, d = count_flops(gan.generator), count_flops(gan.discriminator)
    # Relative to a forward pass, gradients of the input cost 1 and of weights 1 more.
    # G: 2 forward passes and a backward pass. D: 3 forward passes, a backward pass for
    # real images and for fake ones, 1 + 2 for R1, and 1 for gradients of G's images.
    expected = g * (2 + 2) + d * (3 + 2 * 2 + 3 + 1)
    # LadaAttention needs fewer operations, and the first layers no input gradients.
    assert 0.85 * expected < count_step_flops(gan, 2) / 2 < 0.98 * expected


def test_the_paper_cuts_multiply_adds_to_one_decimal():
    assert set(PAPER_COSTS) == set(PRESETS) - {"tiny"}
    by_preset = {name: row for name, changes, *row in COSTS if not changes}
    for name, paper in PAPER_COSTS.items():
        g_count, g_flops, _, d_flops = by_preset[name]
        assert paper.g_parameters == f"{g_count // 10**6}M"
        assert paper.g_flops == cut(g_flops / 2)
        assert paper.d_flops in (cut(d_flops / 2), "not given")


def cut(giga):
    return f"{int(giga * 10) / 10}B"
