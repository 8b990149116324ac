"""Read what a run has logged: metrics, distances, and the newest sample grid."""

import dataclasses
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lada_tf.errors import UserError
from lada_tf.models.presets import Preset
from lada_tf.training.callbacks import GRID_COLUMNS
from lada_tf.training.configuration import preset_from_settings
from lada_tf.training.run_directory import FINGERPRINT, RunDirectory, read_metrics


@dataclasses.dataclass(frozen=True)
class LoggedRun:
    """The logs of a run, as `lada_tf.training.diagnosis` needs them.

    Attributes:
        preset: the run's configuration.
        metrics: the log lines with losses, the oldest first.
        distances: (images seen, Fréchet distance) of each evaluation.
        training_images: number of training images, or 0 if unknown.
        grid: the newest sample grid, uint8 (64, H, W, 3), or None.
        nonfinite_images: images seen at the last step that was not finite, or None.
        is_fine_tuned: whether the run started from trained weights.
    """

    preset: Preset
    metrics: Sequence[Mapping[str, float]]
    distances: Sequence[tuple[int, float]] = ()
    training_images: int = 0
    grid: np.ndarray | None = None
    nonfinite_images: int | None = None
    is_fine_tuned: bool = False

    @property
    def images_seen(self) -> int:
        return int(self.metrics[-1]["images"]) if self.metrics else 0

    @property
    def steps(self) -> int:
        return self.images_seen // self.preset.batch_size

    @property
    def epochs(self) -> float:
        """How often each training image was seen, or 0 if unknown."""
        return self.images_seen / self.training_images if self.training_images else 0

    def recent(self, name: str) -> float:
        """Return the median of a metric over the last tenth of the lines, or 3."""
        count = max(3, len(self.metrics) // 10)
        return statistics.median(line[name] for line in self.metrics[-count:])

    def early(self, name: str) -> float:
        """Return the median of a metric over the first quarter of the lines, or 3."""
        count = max(3, len(self.metrics) // 4)
        return statistics.median(line[name] for line in self.metrics[:count])


def read_run(run_dir: str) -> LoggedRun:
    """Read what a run directory has logged.

    Raises:
        UserError: if there is no run, or its settings cannot be read.
    """
    directory = RunDirectory(run_dir)
    settings = directory.settings()
    # No rule needs the attentions. Their names can be code, which is refused.
    known = {n: v for n, v in settings.items() if not n.endswith("_attention")}
    preset = preset_from_settings(known, directory.flags_file)
    records = read_metrics(directory.metrics_file)
    reports = directory.path.glob("nonfinite-[0-9]*.json")
    steps = [int(re.findall("[0-9]+", path.name)[0]) for path in reports]
    counts = re.search(r"px:\w+:(\d+)(?::(\d+)@)?", settings.get(FINGERPRINT, ""))
    return LoggedRun(
        preset,
        [record for record in records if {"d_loss", "r1"} <= record.keys()],
        _distances(records),
        int(counts[2] or counts[1]) if counts else 0,  # group 2 is the size of a subset
        _newest_grid(directory.samples),
        max(steps) * preset.batch_size if steps else None,
        bool(settings.get("init_from")),
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
    side = pixels.shape[1] // GRID_COLUMNS
    rows = pixels.shape[0] // side
    cells = pixels.reshape(rows, side, GRID_COLUMNS, side, 3).swapaxes(1, 2)
    return cells.reshape(-1, side, side, 3)
