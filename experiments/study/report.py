"""Tables and plots of the study, from what its runs logged.

    python -m experiments.study.report --images=docs/images

Prints, as Markdown, each variant's distance at the end and its gradient norms over the
second half of training: the mean of the seeds and their range.
"""

from pathlib import Path

import numpy as np
from absl import flags

from experiments.figure5 import plot, read_runs
from experiments.study.train import MIXERS, RESULTS, VARIANTS
from lada_tf import app

EPOCH_IMAGES = 60_000


def main() -> None:
    runs = read_runs([f"{RESULTS}/*.jsonl"])
    print(table(runs))
    output = Path(flags.FLAGS.images)
    for name, variants in (
        ("study_mixers.png", MIXERS),
        ("study_lada.png", ("lada", "lada_residual", "lada_layer_norm")),
    ):
        chosen = {name: runs[name] for name in variants if name in runs}
        plot(chosen, EPOCH_IMAGES, str(output / name))


def table(runs) -> str:
    """A line for each variant, in the order of VARIANTS."""
    lines = [
        "| variant | seeds | FD-classifier, end | gradient norm of G | of D |",
        "|---" * 5 + "|",
    ]
    for name in VARIANTS:
        if name not in runs:
            continue
        curves = runs[name]
        distances = [curve[1, -1] for curve in curves["distance"]]
        norms = [
            [curve[1, curve.shape[1] // 2 :].mean() for curve in curves[metric]]
            for metric in ("g_grad_norm", "d_grad_norm")
        ]
        cells = (name, str(len(distances)), *map(_spread, (distances, *norms)))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    flags.DEFINE_string("images", "docs/images", "Folder of the plots.")
    app.run(main)
