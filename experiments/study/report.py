"""Print the tables and draw the plots of the study.

    python -m experiments.study.report --images=docs/images

The tables are Markdown. The first one has each variant's final distance, and its
gradient norms over the second half of training. The second one compares our code with
the authors'. Figures are means over the seeds, with their range.
"""

from pathlib import Path

from absl import flags
from PIL import Image

from experiments.figure5 import PANELS, plot, read_runs
from experiments.seeds import mean_and_range
from experiments.study.train import ATTENTIONS, RESULTS, VARIANTS
from lada_tf import app

COLUMNS = 5  # grids per row
OURS = PANELS | {"distance": "FD-classifier"}
# Metrics that both codes log.
COMMON = {
    "d_loss": "loss of D",
    "g_loss": "loss of G",
    "r1_weighted": "weighted R1",
    "distance": "FD-classifier",
}
PLOTS = {
    # Without linformer, whose values are 100 times as large.
    "study_attentions.png": (
        [name for name in ATTENTIONS if name != "linformer"],
        OURS,
    ),
    "study_lada.png": (("lada", "lada_residual", "lada_layer_norm"), OURS),
    "study_official.png": (("lada", "official"), COMMON),
}


def main() -> None:
    runs = read_runs([f"{RESULTS}/*.jsonl"])
    print(table(runs, VARIANTS, OURS), end="\n\n")
    print(table(runs, ("lada", "official"), COMMON))
    output = Path(flags.FLAGS.images)
    for name, (variants, panels) in PLOTS.items():
        chosen = {name: runs[name] for name in variants if name in runs}
        plot(chosen, 1, str(output / name), panels)
    _plot_grids(output / "study_grids.png")


def table(runs, variants, metrics: dict[str, str]) -> str:
    """Return a table with a line per variant.

    It shows the final distance, and means of the other metrics over the second half of
    training.
    """
    lines = [
        f"| variant | seeds | {' | '.join(metrics.values())} |",
        "|---" * (2 + len(metrics)) + "|",
    ]
    for name in variants:
        if name not in runs:
            continue
        cells = [name, str(len(runs[name]["distance"]))]
        for metric in metrics:
            curves = [curve[1] for curve in runs[name][metric]]
            if metric == "distance":
                cells.append(mean_and_range([curve[-1] for curve in curves]))
            else:
                cells.append(mean_and_range([c[len(c) // 2 :].mean() for c in curves]))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _plot_grids(output: Path) -> None:
    """Draw the last grid of one seed per variant."""
    from matplotlib.figure import Figure

    by_variant = [
        sorted(RESULTS.glob(f"{name}-*.png")) for name in (*VARIANTS, "official")
    ]
    grids = [files[0] for files in by_variant if files]
    rows = -(-len(grids) // COLUMNS)
    figure = Figure(figsize=(3 * COLUMNS, 3.3 * rows), layout="constrained")
    for axes in figure.subplots(rows, COLUMNS, squeeze=False).flat:
        axes.axis("off")
    for axes, grid in zip(figure.axes, grids, strict=False):
        axes.imshow(Image.open(grid))
        axes.set_title(grid.stem)
    figure.savefig(output, dpi=80)


if __name__ == "__main__":
    flags.DEFINE_string("images", "docs/images", "Directory of the plots.")
    app.run(main)
