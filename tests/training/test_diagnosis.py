"""Each rule of the diagnosis, and the runs whose condition the docs state."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from lada_tf.models import PRESETS
from lada_tf.training.diagnosis import diagnose, not_visible
from lada_tf.training.logged_run import LoggedRun, read_run
from tests.docs.pages import ROOT
from tests.training.test_logged_run import HEALTHY, write_run

STUDY = ROOT / "experiments/results/study"
RANDOM = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), np.uint8)


def run_of(lines=20, first=None, last=None, preset=None, **facts):
    """Return a run of `lines` * 1,000 images. `last` is of its second half."""
    halves = [HEALTHY | (first or {}), HEALTHY | (first or {}) | (last or {})]
    metrics = [
        {"images": 1000 * (i + 1), **halves[i >= lines // 2]} for i in range(lines)
    ]
    return LoggedRun(
        dataclasses.replace(PRESETS["tiny"], **(preset or {})), metrics, **facts
    )


def conditions(run):
    return [finding.condition for finding in diagnose(run)]


@pytest.mark.parametrize(
    ("condition", "shown", "not_shown"),
    [
        ("not finite", {"nonfinite_images": 20_016}, {"nonfinite_images": 9_600}),
        ("too early", {"lines": 5}, {"lines": 8}),
        ("too early", {"preset": {"batch_size": 64}}, {"preset": {"batch_size": 16}}),
        ("mode collapse", {"grid": RANDOM[[0, 1] * 32]}, {"grid": RANDOM}),
        (
            "constant",
            {"grid": RANDOM // 17},
            {"grid": RANDOM // 8},
        ),
        (
            "discriminator has won",
            {
                "last": {
                    "real_accuracy": 1.0,
                    "fake_accuracy": 1.0,
                    "d_loss": 0.01,
                    "g_loss": 9.0,
                }
            },
            {"last": {"real_accuracy": 1.0, "fake_accuracy": 0.93}},
        ),
        (
            "sees nothing",
            {"last": {"real_accuracy": 0.52, "fake_accuracy": 0.5}},
            {"last": {"real_accuracy": 0.65, "fake_accuracy": 0.69}},
        ),
        (
            "R1 is too weak",
            {"last": {"r1": 90.0, "g_loss": 6.0}},
            {"last": {"r1": 90.0}},
        ),
        (
            "R1 is too weak",
            {"last": {"r1": 90.0, "g_loss": 6.0}},
            {"last": {"g_loss": 6.0}},
        ),
        ("EMA", {"preset": {"ema_decay": 0.9999}}, {"preset": {"ema_decay": 0.998}}),
        ("EMA", {"preset": {"ema_decay": 1.0}}, {"preset": {"ema_decay": 0.0}}),
        (
            "EMA",
            {"preset": {"ema_decay": 0.9999}},
            {"preset": {"ema_decay": 0.9999}, "is_fine_tuned": True},
        ),
        (
            "R1 is too weak",  # with the hinge loss, a discriminator that wins has 0.0
            {"last": {"r1": 90.0, "g_loss": 6.0, "d_loss": 0.0}},
            {},
        ),
        (
            "memorization is likely",
            {
                "last": {"real_accuracy": 0.99, "fake_accuracy": 0.98},
                "training_images": 50,
            },
            {
                "last": {"real_accuracy": 0.99, "fake_accuracy": 0.98},
                "training_images": 997,
            },
        ),
        (
            "distance rises",
            {"distances": [(5_000, 9.0), (10_000, 14.0), (20_000, 12.0)]},
            {"distances": [(5_000, 9.0), (10_000, 14.0), (20_000, 8.0)]},
        ),
    ],
)
def test_each_rule_has_a_run_that_shows_it_and_one_that_does_not(
    condition, shown, not_shown
):
    assert any(condition in found for found in conditions(run_of(**shown)))
    assert not any(condition in found for found in conditions(run_of(**not_shown)))


def test_a_healthy_run_has_no_findings():
    assert conditions(run_of(grid=RANDOM)) == []


def test_a_short_run_has_no_other_findings():
    assert len(conditions(run_of(lines=3, last={"real_accuracy": 1.0}))) == 1
    assert len(conditions(LoggedRun(PRESETS["tiny"], []))) == 1


def test_the_next_command_changes_the_setting_that_is_wrong():
    (finding,) = diagnose(run_of(last={"r1": 90.0, "g_loss": 6.0}))
    assert "--r1_gamma=0.1 " in finding.next_command
    (finding,) = diagnose(run_of(last={"real_accuracy": 0.5, "fake_accuracy": 0.5}))
    assert "--r1_gamma=0.001 " in finding.next_command


@pytest.mark.parametrize(
    ("total_images", "command"),
    [(10_000_000, "train --run_dir={run}"), (20_000, "--ema_decay=0.992 ")],
)
def test_the_advice_on_the_ema_depends_on_the_length_of_the_run(total_images, command):
    preset = {"ema_decay": 0.9999, "total_images": total_images}
    (finding,) = diagnose(run_of(preset=preset))
    assert command in finding.next_command


@pytest.mark.parametrize(
    ("run", "grid", "expected"),
    [
        ("docs/data/portraits.jsonl", "docs/images/portraits.png", []),
        ("docs/data/weak_r1.jsonl", None, ["R1 is too weak"]),
        ("docs/data/collapsed.jsonl", None, ["the discriminator has won"]),
        (
            "docs/data/collapsed.jsonl",
            "docs/images/collapsed.png",
            ["mode collapse", "the discriminator has won"],
        ),
        *((STUDY / f"lada-{i}.jsonl", None, []) for i in range(3)),
        (STUDY / "lada-2.jsonl", STUDY / "lada-2.png", []),
        *((STUDY / f"swin-{i}.jsonl", None, []) for i in range(3)),
        *(
            (STUDY / f"{name}-{i}.jsonl", None, ["the discriminator has won"])
            for name in ("lada_residual", "linformer")
            for i in range(3)
        ),
    ],
)
def test_verdicts_on_the_runs_of_the_docs(run, grid, expected, tmp_path):
    """docs/diagnosis.md and docs/ablations.md state the condition of these runs."""
    write_run(tmp_path, (ROOT / run).read_text())
    if grid:
        picture = Image.open(ROOT / grid)
        picture.save(tmp_path / "samples" / "grid-0000008000.png")
    assert conditions(read_run(tmp_path)) == expected


def test_a_finished_run_that_was_too_short_gets_more_images():
    total = {"total_images": 5_000}
    (finding,) = diagnose(run_of(lines=5, preset=total))
    assert "--total_images=21000" in finding.next_command
    (finding,) = diagnose(run_of(lines=5))
    assert "--total_images" not in finding.next_command


def test_suggested_commands_work_for_the_data_of_the_run():
    """`evaluate` refuses the tfds data of a run without the flag."""
    spaces = run_of(preset={"data": "my photos"}, grid=RANDOM // 17)
    commands = [finding.next_command for finding in diagnose(spaces)]
    assert "prepare_data --source='my photos' --report" in commands
    assert "safe_mode" not in not_visible(spaces)[0]
    for run in (
        run_of(preset={"data": "tfds:cifar10"}),
        run_of(preset={"data": "tfds:cifar10"}, distances=[(1, 1.0)] + 2 * [(2, 2.0)]),
    ):
        commands = [finding.next_command for finding in diagnose(run)]
        for command in (*commands, not_visible(run)[0]):
            assert command.endswith("--safe_mode=false")


def test_what_logs_cannot_show_depends_on_the_run():
    augmented = run_of(preset={"augment": "color"}, distances=[(1, 1.0)], grid=RANDOM)
    assert [line.split(":")[0] for line in not_visible(augmented)] == [
        "memorization",
        "augmentation leak",
    ]
    assert len(not_visible(run_of())) == 3
