"""Name the condition of a run from its metrics, settings, and newest sample grid.

`RULES` are functions of a `LoggedRun` that return a `Finding` or None. We chose their
thresholds with the logs in `docs/data` and `experiments/results/study`.
"""

import shlex
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lada_tf.training.logged_run import LoggedRun, nearest_difference

NEW_RUN = "train --flagfile={run}/flags.cfg %s --run_dir={run}-2"


class Finding(NamedTuple):
    """A condition, the figures that show it, and what to do.

    `next_command` is a command without `lada-tf`. `{run}` stands for the run directory.
    """

    condition: str
    evidence: str
    advice: str
    next_command: str


def diagnose(run: LoggedRun) -> list[Finding]:
    """Return the findings of the first group of rules that has findings."""
    for rules in RULES:
        if found := [finding for rule in rules if (finding := rule(run))]:
            return found
    return []


def not_visible(run: LoggedRun) -> list[str]:
    """Return what the logs of this run cannot show, and where to look."""
    lines = [f"memorization: lada-tf {memorization_command(run)}"]
    if run.preset.augment:
        lines.append(
            "augmentation leak: look for cut-outs, odd hues and shifted borders in "
            "{run}/samples"
        )
    if run.grid is None:
        lines.append("mode collapse: no grid of a trained generator in {run}/samples")
    if not run.distances:
        lines.append("image quality: train with --eval_images to log a distance")
    return lines


def not_finite(run: LoggedRun) -> Finding | None:
    """Training ended at a loss or gradient that is not finite."""
    if run.nonfinite_images is None or run.nonfinite_images < run.images_seen:
        return None
    return Finding(
        "a loss or gradient is not finite",
        f"nonfinite-*.json reports a step after {run.nonfinite_images:,} images",
        "go back to the last checkpoint and continue with another seed",
        "train --run_dir={run} --on_nonfinite=rollback",
    )


def too_early(run: LoggedRun) -> Finding | None:
    """The losses of the first few hundred steps say little."""
    if run.steps >= 500 and len(run.metrics) >= 6:
        return None
    command = "train --run_dir={run}"
    if run.images_seen >= run.preset.total_images:
        command += f" --total_images={run.images_seen + 1000 * run.preset.batch_size}"
    return Finding(
        "too early to say",
        f"{run.images_seen:,} images seen: {run.steps:,} steps, {len(run.metrics)} log "
        "lines. The rules need 500 steps and 6 lines",
        "continue training. If log lines are missing, set a smaller --log_images",
        command,
    )


def collapse(run: LoggedRun) -> Finding | None:
    """Most cells of the grid have a near copy.

    The difference is 0 in docs/images/collapsed.png, and 43 to 84 in the grids of the
    other trained networks in this repository.
    """
    if run.grid is None or (difference := nearest_difference(run.grid)) >= 8:
        return None
    return Finding(
        "mode collapse",
        f"in the newest sample grid, the median image differs from another one by "
        f"{difference:.1f} of 255 levels (RMS). Expected: 8 or more",
        "more R1; then more augmentation, a smaller --g_learning_rate, or a larger "
        "batch",
        NEW_RUN % f"--r1_gamma={10 * run.preset.r1_gamma or 0.01:g}",
    )


def nearly_constant_images(run: LoggedRun) -> Finding | None:
    """The grid has almost no contrast."""
    if run.grid is None:
        return None
    low, high = np.percentile(run.grid, [1, 99])
    if high - low >= 16:
        return None
    return Finding(
        "nearly constant images, as with a wrong data range",
        f"98 % of the newest sample grid's values lie between {low:.0f} and {high:.0f} "
        "of 255",
        "look at the training images: values from 0 to 1 stored as uint8 are black",
        f"prepare_data --source={shlex.quote(run.preset.data)} --report",
    )


def discriminator_wins(run: LoggedRun) -> Finding | None:
    """The discriminator is nearly always right, and g_loss is far above d_loss.

    A discriminator that memorizes has similar accuracies, but its g_loss is about 10
    times d_loss.
    """
    real, fake = run.recent("real_accuracy"), run.recent("fake_accuracy")
    d_loss, g_loss = run.recent("d_loss"), run.recent("g_loss")
    if min(real, fake) < 0.98 or g_loss < 20 * d_loss:
        return None
    return Finding(
        "the discriminator has won",
        f"real_accuracy {real:.3f}, fake_accuracy {fake:.3f}, d_loss {d_loss:.3f}, "
        f"g_loss {g_loss:.2f}",
        "more R1; then more augmentation, or half the --d_learning_rate",
        NEW_RUN % f"--r1_gamma={10 * run.preset.r1_gamma or 0.01:g}",
    )


def discriminator_blind(run: LoggedRun) -> Finding | None:
    """The discriminator guesses: both accuracies are near 0.5."""
    real, fake = run.recent("real_accuracy"), run.recent("fake_accuracy")
    if max(real, fake) > 0.6:
        return None
    return Finding(
        "the discriminator sees nothing",
        f"real_accuracy {real:.3f}, fake_accuracy {fake:.3f}. Guessing is 0.5",
        "less R1; then weaker augmentation, such as --augment without cutout",
        NEW_RUN % f"--r1_gamma={run.preset.r1_gamma / 10:g}",
    )


def weak_r1(run: LoggedRun) -> Finding | None:
    """R1 keeps climbing, and the generator's loss stays many times d_loss."""
    early, now = run.early("r1"), run.recent("r1")
    d_loss, g_loss = run.recent("d_loss"), run.recent("g_loss")
    if now < 3 * early or g_loss < 5 * d_loss:
        return None
    return Finding(
        "R1 is too weak",
        f"r1 climbed from {early:,.3g} to {now:,.3g}, and g_loss {g_loss:.2f} is far "
        f"above d_loss {d_loss:.2f}",
        "more R1",
        NEW_RUN % f"--r1_gamma={10 * run.preset.r1_gamma or 0.01:g}",
    )


def dead_ema(run: LoggedRun) -> Finding | None:
    """At least a tenth of the EMA generator still comes from the initial weights."""
    decay = run.preset.ema_decay
    share = decay**run.steps
    if share < 0.1 or run.is_fine_tuned:  # then the initial weights are trained ones
        return None
    total_steps = run.preset.total_images // run.preset.batch_size
    if decay**total_steps < 0.1:
        advice = "continue training: the share falls with every step"
        command = "train --run_dir={run}"
    else:
        advice = "a smaller --ema_decay, since this run is too short for it"
        command = NEW_RUN % f"--ema_decay={1 - 10 / max(total_steps, 20):.3g}"
    return Finding(
        "the EMA generator is dead or lags",
        f"after {run.steps:,} steps with ema_decay={decay:g}, {share:.0%} of its "
        "weights are the initial ones",
        advice,
        command,
    )


def memorizing_discriminator(run: LoggedRun) -> Finding | None:
    """The discriminator is nearly always right, after 100 epochs or more."""
    real, fake = run.recent("real_accuracy"), run.recent("fake_accuracy")
    if run.epochs < 100 or min(real, fake) < 0.97:
        return None
    return Finding(
        "memorization is likely",
        f"each of {run.training_images:,} training images was seen {run.epochs:,.0f} "
        f"times; real_accuracy {real:.3f}, fake_accuracy {fake:.3f}",
        "check whether samples are copies. If so: more images, --flip, bCR, or a "
        "shorter run",
        memorization_command(run),
    )


def rising_distance(run: LoggedRun) -> Finding | None:
    """The last two evaluations are worse than an earlier one.

    A single worse evaluation is not enough, because the distance fluctuates.
    """
    if len(run.distances) < 3:
        return None
    images, best = min(run.distances[:-2], key=lambda pair: pair[1])
    last = [distance for _, distance in run.distances[-2:]]
    if min(last) < 1.3 * best:
        return None
    epochs = f" after {run.epochs:,.0f} epochs" if run.epochs else ""
    return Finding(
        "the distance rises after it fell, often from memorization",
        f"{best:.4g} after {images:,} images, then {last[0]:.4g} and {last[1]:.4g}"
        f"{epochs}",
        "use the best checkpoint (--best), and check whether samples are copies",
        memorization_command(run),
    )


Rule = Callable[[LoggedRun], Finding | None]
# If a group has findings, `diagnose` leaves out the later groups.
RULES: tuple[tuple[Rule, ...], ...] = (
    (not_finite,),
    (too_early,),
    (
        collapse,
        nearly_constant_images,
        discriminator_wins,
        discriminator_blind,
        weak_r1,
        dead_ema,
    ),
    (memorizing_discriminator, rising_distance),
)


def memorization_command(run: LoggedRun) -> str:
    """Return the command that looks for copies of training images."""
    command = "evaluate --run_dir={run} --memorization --num_generated=1000"
    if run.preset.image_size <= 64:  # features that need no download
        command += " --features=small_classifier"
    if run.preset.data.startswith("tfds:"):  # refused otherwise: it can run code
        command += " --safe_mode=false"
    return command
