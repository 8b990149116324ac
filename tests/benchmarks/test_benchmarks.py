"""The parts of the benchmarks that need no long run."""

import sys

import pytest

from benchmarks.attention import slope
from benchmarks.report import print_markdown, ratio
from benchmarks.sides import official_config
from benchmarks.worker import Worker
from lada_tf.models.presets import get_preset


def test_a_worker_answers_in_its_own_process():
    with Worker(sys.executable, "tests.benchmarks.echo", 40) as worker:
        assert worker.first == {"number": 40}
        assert worker.start_seconds > 0
        assert worker.ask("add", more=2) == 42
        small = worker.ask("grow", megabytes=1)
        large = worker.ask("grow", megabytes=50)
        assert 40 < large["peak_mb"] - small["peak_mb"] < 200


def test_a_worker_that_fails_tells_why():
    with (
        pytest.raises(SystemExit, match="KeyError: 'subtract'"),
        Worker(sys.executable, "tests.benchmarks.echo", 1) as worker,
    ):
        worker.ask("subtract")


def test_ratios_are_of_medians_with_the_extremes_of_the_turns():
    assert ratio([2.0, 4.0, 9.0], [1.0, 1.0, 3.0]) == "4.00 (2.00-4.00)"


def test_tables_are_markdown(capsys):
    print_markdown([{"a": "1", "b": "2"}, {"a": "3", "b": "4"}])
    assert capsys.readouterr().out == "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n"


def test_the_slope_is_that_of_large_numbers_of_tokens():
    rows = [{"tokens": n, "ms": max(1e6, n**2)} for n in (64, 1024, 2048, 4096)]
    assert slope(rows, "ms") == pytest.approx(2.0)


def test_presets_in_the_authors_names():
    config = official_config(get_preset("ffhq128"))
    assert config["g_heads"] == (4, 4, 4)
    assert config["dec_dim"] == (128, 64)
    assert (config["bcr"], config["cr_weight"]) == (True, 0.1)
    assert official_config(get_preset("celeba64"))["dec_dim"] is False
