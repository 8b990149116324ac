"""The variants of the study in docs/ablations.md are comparable."""

import re

import numpy as np
import pytest

from benchmarks.sides import official_config
from experiments.figure5 import read_runs
from experiments.study.report import COMMON, OURS, table
from experiments.study.settings import HERE, variant_preset
from experiments.study.train import ATTENTIONS, RESULTS, VARIANTS
from lada_tf.models.cost import count_flops
from lada_tf.models.networks import make_networks
from lada_tf.training.official_checkpoint import _preset


def multiply_adds(name):
    generator, _ = make_networks(variant_preset(name))
    generator.build()
    return count_flops(generator) / 2e6


@pytest.mark.slow
def test_attentions_are_of_equal_cost_as_their_flagfiles_say():
    costs = {name: multiply_adds(name) for name in ATTENTIONS}
    for name, cost in costs.items():
        text = (HERE / f"{name}.cfg").read_text()
        assert re.search(r"(\S+)M multiply-adds", text)[1] == f"{cost:.1f}"
    assert max(costs.values()) < 1.015 * min(costs.values())


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_differ_in_the_generator_alone(name):
    shared, own = variant_preset("lada"), variant_preset(name)
    changed = {
        field for field in vars(shared) if getattr(shared, field) != getattr(own, field)
    }
    assert all(field.startswith("g_") for field in changed)


def test_the_authors_configuration_is_ours():
    preset = variant_preset("lada")
    again = _preset(official_config(preset))
    left_out = {"data", "resize", "total_images", "g_heads", "g_mlp_dim"}
    for field in set(vars(preset)) - left_out:
        assert getattr(again, field) == getattr(preset, field), field
    # The authors give one value per stage. We may give one for all stages.
    assert set(again.g_heads) == set(preset.g_heads)
    assert set(again.g_mlp_dim) == set(preset.g_mlp_dim)


def test_table_has_final_distances_and_means_of_second_halves():
    runs = {
        "lada": {
            "distance": [np.array([[4, 8], [9, 2]]), np.array([[4, 8], [9, 4]])],
            "g_loss": [np.array([[2, 4, 6, 8], [7, 7, 1, 2]])] * 2,
        }
    }
    text = table(runs, ("lada", "swin"), {"g_loss": "loss of G", "distance": "FD"})
    assert text.splitlines() == [
        "| variant | seeds | loss of G | FD |",
        "|---|---|---|---|",
        "| lada | 2 | 1.50 (1.50 to 1.50) | 3.00 (2.00 to 4.00) |",
    ]


def test_tables_of_the_page_match_the_logs():
    page = (HERE.parents[1] / "docs/ablations.md").read_text()
    runs = read_runs([f"{RESULTS}/*.jsonl"])
    assert table(runs, VARIANTS, OURS) in page
    assert table(runs, ("lada", "official"), COMMON) in page
