"""Name the condition of a run from its metrics, settings, and newest sample grid.

`RULES` are functions of a `Run`. Each returns a `Finding` or None. Their thresholds
were chosen on the logs in `docs/data` and `experiments/results/study`.
"""

import dataclasses
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from lada_tf.errors import UserError
from lada_tf.models.presets import Preset
from lada_tf.training.configuration import preset_from_settings
from lada_tf.training.run_directory import FINGERPRINT, RunDirectory, read_metrics

COLUMNS = 8  # of a sample grid
NEW_RUN = "train --flagfile={run}/flags.cfg %s --run_dir={run}-2"


@dataclasses.dataclass(frozen=True)
class Run:
    """What the rules look at.

    Attributes:
        preset: the run's configuration.
        metrics: the log lines with losses, the oldest first.
        distances: (images seen, Fréchet distance) of each evaluation.
        training_images: number of training images, or 0 if unknown.
        grid: the newest sample grid, uint8 (64, H, W, 3), or None.
        nonfinite_images: images seen at the last step that was not finite, or None.
    """

    preset: Preset
    metrics: Sequence[Mapping[str, float]]
    distances: Sequence[tuple[int, float]] = ()
    training_images: int = 0
    grid: np.ndarray | None = None
    nonfinite_images: int | None = None

    @property
    def images_seen(self) -> int:
        return int(self.metrics[-1]["images"]) if self.metrics else 0

    @property
    def steps(self) -> int:
        return self.images_seen // self.preset.batch_size

    def recent(self, name: str) -> float:
        """Return the median of a metric over the last tenth, of 3 lines or more."""
        count = max(3, len(self.metrics) // 10)
        return statistics.median(line[name] for line in self.metrics[-count:])

    def early(self, name: str) -> float:
        """Return the median of a metric over the first quarter, of 3 lines or more."""
        count = max(3, len(self.metrics) // 4)
        return statistics.median(line[name] for line in self.metrics[:count])


class Finding(NamedTuple):
    """A condition, the figures that show it, and what to do.

    `next_command` follows `lada-tf`; `{run}` stands for the run directory.
    """

    condition: str
    evidence: str
    advice: str
    next_command: str


def read_run(run_dir: str) -> Run:
    """Read what the rules look at.

    Raises:
        UserError: if there is no run, or its settings cannot be read.
    """
    directory = RunDirectory(run_dir)
    settings = directory.settings()
    # The name of an attention can be code to import, and no rule needs it.
    known = {n: v for n, v in settings.items() if not n.endswith("_attention")}
    preset = preset_from_settings(known, directory.flags_file)
    records = read_metrics(directory.metrics_file)
    steps = [int(p.name.split("-")[1][:10]) for p in directory.path.glob("nonfinite-*")]
    count = re.search(r"px:\w+:(\d+)", settings.get(FINGERPRINT, ""))
    return Run(
        preset,
        [record for record in records if "d_loss" in record],
        _distances(records),
        int(count[1]) if count else 0,
        _newest_grid(directory.samples),
        max(steps) * preset.batch_size if steps else None,
    )


def diagnose(run: Run) -> list[Finding]:
    """Return the findings of the first group of rules that has any, or none."""
    for rules in RULES:
        if found := [finding for rule in rules if (finding := rule(run))]:
            return found
    return []


def not_visible(run: Run) -> list[str]:
    """Return what the logs of this run cannot show, and where to look."""
    size = run.preset.image_size
    features = " --features=small_classifier" if size <= 64 else ""
    lines = [
        "memorization: lada-tf evaluate --run_dir={run} --memorization "
        f"--num_generated=1000{features}"
    ]
    if run.preset.augment:
        lines.append(
            "augmentation leak: look for cut-outs, odd hues and shifted borders in "
            "{run}/samples"
        )
    if run.grid is None:
        lines.append("mode collapse: there is no sample grid in {run}/samples")
    if not run.distances:
        lines.append("image quality: train with --eval_images to log a distance")
    return lines


def not_finite(run: Run) -> Finding | None:
    """Training ended at a loss or gradient that is not finite."""
    if run.nonfinite_images is None or run.nonfinite_images < run.images_seen:
        return None
    return Finding(
        "a loss or gradient is not finite",
        f"nonfinite-*.json reports a step after {run.nonfinite_images:,} images",
        "go back to the last checkpoint and continue with another seed",
        "train --run_dir={run} --on_nonfinite=rollback",
    )


def too_early(run: Run) -> Finding | None:
    """Both networks change quickly in the first few hundred steps."""
    if run.steps >= 500 and len(run.metrics) >= 6:
        return None
    return Finding(
        "too early to say",
        f"{run.images_seen:,} images seen: {run.steps:,} steps, {len(run.metrics)} log "
        "lines. The rules need 500 steps and 6 lines",
        "continue training, with a smaller --log_images if lines are missing",
        "train --run_dir={run}",
    )


def collapse(run: Run) -> Finding | None:
    """Most cells of the grid have a near copy: 0 levels in docs/images/collapsed.png,
    43 to 84 in all other grids of trained networks here."""
    if run.grid is None or (difference := nearest_difference(run.grid)) >= 8:
        return None
    return Finding(
        "mode collapse",
        f"in the newest sample grid, the median image differs from another one by "
        f"{difference:.1f} of 255 levels (RMS). Expected: 8 or more",
        "more R1; then more augmentation, a slower generator, a larger batch",
        NEW_RUN % f"--r1_gamma={10 * run.preset.r1_gamma:g}",
    )


def nearly_constant_images(run: Run) -> Finding | None:
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
        f"prepare_data --source={run.preset.data} --report",
    )


def discriminator_wins(run: Run) -> Finding | None:
    """Nearly all images on the right side, and the generator's loss far above d_loss.

    A healthy run that memorizes has accuracies up to 0.97, and 3 times d_loss.
    """
    real, fake = run.recent("real_accuracy"), run.recent("fake_accuracy")
    d_loss, g_loss = run.recent("d_loss"), run.recent("g_loss")
    if min(real, fake) < 0.98 or g_loss < 10 * d_loss:
        return None
    return Finding(
        "the discriminator has won",
        f"real_accuracy {real:.3f}, fake_accuracy {fake:.3f}, d_loss {d_loss:.3f}, "
        f"g_loss {g_loss:.2f}",
        "more R1; then more augmentation, half of --d_learning_rate",
        NEW_RUN % f"--r1_gamma={10 * run.preset.r1_gamma:g}",
    )


def discriminator_blind(run: Run) -> Finding | None:
    """0.5 on both sides is guessing."""
    real, fake = run.recent("real_accuracy"), run.recent("fake_accuracy")
    if max(real, fake) > 0.6:
        return None
    return Finding(
        "the discriminator sees nothing",
        f"real_accuracy {real:.3f}, fake_accuracy {fake:.3f}. Guessing is 0.5",
        "less R1; then weaker augmentation, such as none of cutout",
        NEW_RUN % f"--r1_gamma={run.preset.r1_gamma / 10:g}",
    )


def weak_r1(run: Run) -> Finding | None:
    """R1 keeps climbing, and the generator's loss stays many times d_loss."""
    early, now = run.early("r1"), run.recent("r1")
    d_loss, g_loss = run.recent("d_loss"), run.recent("g_loss")
    if now < 3 * early or g_loss < 5 * d_loss:
        return None
    return Finding(
        "R1 is too weak",
        f"r1 climbed from {early:,.3g} to {now:,.3g}, and g_loss {g_loss:.2f} is "
        f"{g_loss / d_loss:.0f} times d_loss {d_loss:.2f}",
        "more R1",
        NEW_RUN % f"--r1_gamma={10 * run.preset.r1_gamma:g}",
    )


def dead_ema(run: Run) -> Finding | None:
    """Compute the share of the initial weights that the EMA generator still has."""
    decay = run.preset.ema_decay
    share = decay**run.steps
    if share < 0.1:
        return None
    total_steps = run.preset.total_images // run.preset.batch_size
    if decay**total_steps < 0.1:
        advice = "continue: the share falls with every step"
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


def rising_distance(run: Run) -> Finding | None:
    """The last two evaluations are worse than an earlier one.

    A single one is not enough, because the distance goes up at times.
    """
    if len(run.distances) < 3:
        return None
    images, best = min(run.distances[:-2], key=lambda pair: pair[1])
    last = [distance for _, distance in run.distances[-2:]]
    if min(last) < 1.3 * best:
        return None
    epochs = ""
    if run.training_images:
        seen = run.images_seen / run.training_images
        epochs = f", while each training image was seen {seen:,.0f} times"
    features = " --features=small_classifier" if run.preset.image_size <= 64 else ""
    return Finding(
        "the distance rises after it fell, often from memorization",
        f"{best:.4g} after {images:,} images, then {last[0]:.4g} and {last[1]:.4g}"
        f"{epochs}",
        "use the best checkpoint (--best), and check whether samples are copies",
        f"evaluate --run_dir={{run}} --memorization --num_generated=1000{features}",
    )


Rule = Callable[[Run], Finding | None]
# A finding of one group hides those of the groups after it.
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
    (rising_distance,),
)


def nearest_difference(grid: np.ndarray) -> float:
    """Return the median RMS difference of an image to the most similar other one."""
    images = grid.reshape(len(grid), -1).astype(np.float64)
    squares = (images**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * images @ images.T
    np.fill_diagonal(distances, np.inf)
    nearest = np.maximum(distances.min(axis=1), 0) / images.shape[1]
    return math.sqrt(np.median(nearest))


def _distances(records: Sequence[Mapping[str, float]]) -> list[tuple[int, float]]:
    """Return (images, distance) for the features of the last evaluation."""
    found: dict[str, list[tuple[int, float]]] = {}
    last = ""
    for record in records:
        for name in record:
            if name.startswith(("FID", "FD ")):
                last = name
                found.setdefault(name, []).append((int(record["images"]), record[name]))
    return found.get(last, [])


def _newest_grid(samples: Path) -> np.ndarray | None:
    paths = sorted(samples.glob("grid-*.png"))
    if not paths or paths[-1].name == "grid-0000000000.png":  # of untrained networks
        return None
    try:
        return split_grid(Image.open(paths[-1]))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{paths[-1]}: cannot be read ({error}). Delete it and try again"
        ) from error


def split_grid(picture: Image.Image) -> np.ndarray:
    """Return the images (N, side, side, 3) of a sample grid."""
    pixels = np.asarray(picture.convert("RGB"))
    side = pixels.shape[1] // COLUMNS
    rows = pixels.shape[0] // side
    cells = pixels.reshape(rows, side, COLUMNS, side, 3).swapaxes(1, 2)
    return cells.reshape(-1, side, side, 3)
