"""Parts of the benchmarks that run in seconds."""

import subprocess
import sys
import types

import pytest
import tensorflow as tf

from benchmarks import gpu_session, launches
from benchmarks.attention import slope
from benchmarks.ours import start
from benchmarks.report import print_markdown, ratio
from benchmarks.sides import official_config
from benchmarks.worker import Worker, take_turns
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


def test_a_worker_is_killed_at_its_limit():
    with (
        pytest.raises(SystemExit),
        Worker(sys.executable, "tests.benchmarks.echo", 1, limit=0.01) as worker,
    ):
        worker.ask("add", more=1)


def test_the_other_presets_of_a_gpu_session_train_in_the_fastest_way(monkeypatch):
    arguments = {"presets": ["a", "b"], "ways": ["x", "y", "z"], "official": None}
    monkeypatch.setattr(gpu_session.flags, "FLAGS", types.SimpleNamespace(**arguments))
    speeds = {"x": {"seconds": [3.0]}, "y": {"seconds": [2.0]}}
    rows = []
    for preset, way in gpu_session.planned(rows):
        rows.append({"preset": preset, "way": way, **speeds.get(way, {"error": ""})})
    assert [(row["preset"], row["way"]) for row in rows] == [
        *(("a", way) for way in "xyz"),
        ("b", "y"),
        ("a", gpu_session.MIRRORED),
    ]


def test_launches_count_operations_that_move_data():
    def function(x):
        return tf.reshape(tf.exp(tf.matmul(x, x)), (-1,))

    x = tf.ones((4, 4))
    assert launches.count_operations(tf.function(function, autograph=False), x) == 2


def test_ratios_are_of_medians_with_the_extremes_of_the_turns():
    assert ratio([2.0, 4.0, 9.0], [1.0, 1.0, 3.0]) == "4.00 (2.00-4.00)"


def test_tables_are_markdown(capsys):
    print_markdown([{"a": "1", "b": "2"}, {"a": "3", "b": "4"}])
    assert capsys.readouterr().out == "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n"


def test_the_slope_leaves_out_small_numbers_of_tokens():
    rows = [{"tokens": n, "ms": max(1e6, n**2)} for n in (64, 1024, 2048, 4096)]
    assert slope(rows, "ms") == pytest.approx(2.0)


def test_a_preset_as_a_configuration_of_the_authors():
    config = official_config(get_preset("ffhq128"))
    assert config["g_heads"] == (4, 4, 4)
    assert config["dec_dim"] == (128, 64)
    assert (config["bcr"], config["cr_weight"]) == (True, 0.1)
    assert official_config(get_preset("celeba64"))["dec_dim"] is False


def test_sides_take_turns_of_whole_rounds():
    asked = []

    def ask(side, steps):
        asked.append((side, steps))
        return {"seconds": {"quick": 0.25, "slow": 2.0}[side] * steps, "peak_mb": steps}

    sides = {"quick": "quick", "slow": "slow"}
    rounds = {"quick": 1, "slow": 4}
    found = take_turns(sides, ask, turns=2, seconds=5.0, rounds=rounds)
    warm_ups = [("quick", 1)] * 2 + [("slow", 4)] * 2
    assert asked == [*warm_ups, *[("quick", 20), ("slow", 4)] * 2]
    assert found["quick"] == {"steps_a_turn": 20, "seconds": [0.25] * 2, "peak_mb": 20}
    assert found["slow"] == {"steps_a_turn": 4, "seconds": [2.0] * 2, "peak_mb": 4}


@pytest.mark.slow
@pytest.mark.parametrize("module", ["benchmarks.gpu_session", "experiments.run"])
def test_help_has_no_log_lines(module):
    command = [sys.executable, "-m", module, "--help"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert f"python -m {module}" in result.stdout
    assert not result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("task", ["train", "sample"])
def test_our_worker_trains_and_samples(task):
    settings = {"task": task, "preset": "tiny", "batch_size": 2, "saved_model": True}
    _, commands = start(settings)
    arguments = {"steps": 1} if task == "train" else {"batch_size": 2, "calls": 1}
    measured = commands[task](**arguments)
    assert measured["seconds"] > 0
    assert measured["peak_mb"] > 0
