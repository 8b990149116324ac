"""The rows of the paper's tables are complete, have the paper's costs, and run."""

import dataclasses
import json
import math

import pytest

from experiments.report import cost_table, report
from experiments.rows import all_rows, rows_named
from experiments.run import smoke_flags
from lada_tf.errors import UserError
from lada_tf.evaluation.protocols import PROTOCOLS
from lada_tf.models import PRESETS, LadaGAN
from lada_tf.models.cost import count_flops
from lada_tf.models.networks import make_networks
from lada_tf.training.configuration import parse_field
from tests import runner

ROWS = {row.name: row for row in all_rows()}
NOT_MET = {"table1/02_lada_swin_residual": "0.5B"}  # its flagfile says why


def test_every_table_is_there():
    assert len(rows_named(["table1"])) == 16
    assert len(rows_named(["table2"])) == 8
    assert len(rows_named(["table3"])) == 6
    assert set(PRESETS) - {"tiny"} == {name for name in ROWS if "/" not in name}
    with pytest.raises(UserError, match="--row=table9: no such row"):
        rows_named(["table9"])


def test_metrics_are_those_of_the_protocols():
    """The paper's own model is in both paper.json and the protocols."""
    for name in set(PRESETS) - {"tiny"}:
        for protocol, figures in ROWS[name].metrics.items():
            assert figures == PROTOCOLS[protocol].paper
    for row in ROWS.values():
        assert set(row.metrics) <= set(PROTOCOLS)
        assert f"--row={row.name} " in row.flagfile.read_text() or "/" not in row.name


@pytest.mark.slow
def test_costs_of_the_ablations_are_the_papers():
    """Multiply-adds, cut to one decimal; tests/models/test_cost.py has the presets'."""
    costs = {}
    for row in rows_named(["table1"]):
        preset = dataclasses.replace(
            row.preset(), g_initializer="zeros", g_mlp_residual=False
        )  # both add no multiplication
        network = (preset.g_attention, preset.g_norm, preset.lee_convolution)
        if network not in costs:
            generator, _ = make_networks(preset)
            generator.build()
            costs[network] = count_flops(generator) / 2e9
        cut = f"{math.floor(costs[network] * 10) / 10}B"
        assert cut == NOT_MET.get(row.name, row.multiply_adds["generator"]), row.name


@pytest.mark.slow
def test_a_smoke_run_trains_scores_reports_and_resumes(tmp_path):
    name = "table1/15_fastformer_both"
    flags = "--scale=smoke", f"--row={name}", f"--output={tmp_path}"
    runner.succeed("experiments.run", *flags)
    scores = tmp_path / name / "cifar10_50k.json"
    first = json.loads(scores.read_text())
    assert first["images_seen"] == 12
    text = (tmp_path / "report.md").read_text()
    assert "**Smoke runs**" in text
    distance = first["metrics"]["FD (small classifier)"]
    assert f"FD (small classifier) {distance:.2f} (" in text
    scores.unlink()
    again = runner.run("experiments.run", *flags)
    assert "compiling" not in again.stderr  # trained already
    second = json.loads(scores.read_text())
    assert second["metrics"] == first["metrics"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_every_smoke_configuration_fits_together(name):
    preset = ROWS[name].preset()
    changes = {k: parse_field(k, v) for k, v in smoke_flags(preset).items()}
    gan = LadaGAN.from_preset(dataclasses.replace(preset, **changes))
    images = gan.ema_generator(gan.sample_latents(2))
    assert gan.discriminator(images).shape == (2, 25)


@pytest.mark.slow
def test_paper_scale_says_what_is_missing_before_it_computes(tmp_path):
    result = runner.run(
        "experiments.run",
        f"--output={tmp_path / 'runs'}",
        "--row=table1",
        f"--inception_graph={tmp_path / 'graph.pb'}",
    )
    assert result.returncode == 2
    assert "error: no Inception graph at" in result.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_report_shows_figures_of_the_paper_for_rows_that_have_not_run(tmp_path):
    row = ROWS["table1/16_ladagan"]
    line = report([row], tmp_path, smoke=False).splitlines()[-1]
    assert line == (
        "| table1/16_ladagan | cifar10_50k | — (3.29) | — (3.81) | — (9.66) | — (0.61) "
        "| — (0.60) |"
    )
    assert "19.902M | 0.763B (0.7B) | 6.777M | 0.710B (0.7B)" in cost_table([row])
