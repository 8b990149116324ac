"""Plot Figure 5: gradient norms of both networks and the Fréchet distance by epoch.

    python -m experiments.figure5 --runs=runs/a --runs=runs/b --output=figure5.png
    python -m experiments.figure5 --epoch_images=60000 --output=figure5.png \\
        --runs='experiments/results/study/lada-*.jsonl'

`--runs` are run directories or metrics.jsonl files. Runs with the names `name-0`,
`name-1`, … are seeds of one curve: the plot shows their mean and shades their range.
"""

import glob
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from absl import flags

from lada_tf import app
from lada_tf.errors import UserError
from lada_tf.training.run_directory import read_metrics

PANELS = {
    "g_grad_norm": "gradient norm of G",
    "d_grad_norm": "gradient norm of D",
    "distance": "Fréchet distance",
}
# Metric -> one array (2, n) of images and values per seed.
Curves = dict[str, list[np.ndarray]]


def main() -> None:
    values = flags.FLAGS
    runs = read_runs(values.runs)
    plot(runs, values.epoch_images, values.output)
    print(f"{len(runs)} curves: {values.output}")


def read_runs(patterns: list[str]) -> dict[str, Curves]:
    """Return the curves of each name.

    Raises:
        UserError: a pattern matches no run, or a run has no metrics.
    """
    runs: dict[str, Curves] = defaultdict(lambda: defaultdict(list))
    for pattern in patterns:
        paths = sorted(glob.glob(pattern))
        if not paths:
            raise UserError(f"--runs={pattern}: no such run directory or metrics.jsonl")
        for path in map(Path, paths):
            file = path / "metrics.jsonl" if path.is_dir() else path
            name = re.sub(r"-\d+$", "", path.stem)
            for metric, curve in read_curves(file).items():
                runs[name][metric].append(curve)
    return runs


def read_curves(file: Path) -> dict[str, np.ndarray]:
    """Return an array (2, n) of images and values per metric."""
    lines = read_metrics(file)
    if not lines:
        raise UserError(
            f"--runs={file}: not a metrics.jsonl. Give a run directory or its file"
        )
    points: dict[str, list] = defaultdict(list)
    for line in lines:
        for name, value in line.items():
            metric = "distance" if name.startswith(("FID", "FD")) else name
            if metric != "images":
                points[metric].append((line["images"], value))
    return {name: np.array(values, float).T for name, values in points.items()}


def plot(
    runs: dict[str, Curves], epoch_images: int, output: str, panels=PANELS
) -> None:
    """Plot one panel per metric; `panels` maps metrics to titles."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError(
            "matplotlib is missing: `pip install 'lada_tf[experiments]'`"
        ) from None
    figure = Figure(figsize=(13, 4), layout="constrained")
    for axes, (metric, title) in zip(
        figure.subplots(1, len(panels)), panels.items(), strict=True
    ):
        for name, curves in runs.items():
            # Some seeds may have trained longer. Plot up to the shortest run.
            seeds = curves.get(metric, [])
            length = min((curve.shape[1] for curve in seeds), default=0)
            if not length:
                continue
            epochs = seeds[0][0, :length] / epoch_images
            heights = np.stack([curve[1, :length] for curve in seeds])
            (line,) = axes.plot(epochs, heights.mean(0), label=name)
            low, high = heights.min(0), heights.max(0)
            axes.fill_between(epochs, low, high, color=line.get_color(), alpha=0.15)
        axes.set(title=title, xlabel="epoch" if epoch_images > 1 else "images")
        axes.set_yscale("log")
        axes.locator_params(axis="x", nbins=5)
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=100)


if __name__ == "__main__":
    flags.DEFINE_multi_string("runs", None, "Run directories or files.", required=True)
    flags.DEFINE_string("output", "figure5.png", "Picture to write.")
    flags.DEFINE_integer(
        "epoch_images", 1, "Images per epoch; 1 to plot by images.", lower_bound=1
    )
    app.run(main)
