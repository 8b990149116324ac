"""A plot of metrics over the checkpoints of a run."""

import io
import os
from collections.abc import Sequence
from typing import Any

from lada_tf.errors import UserError
from lada_tf.io import write_atomically

COLUMNS = 3


def figure_class() -> Any:
    """Return Matplotlib's `Figure`.

    Raises:
        UserError: Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError(
            "plots need matplotlib: pip install 'lada_tf[experiments]'"
        ) from None
    return Figure


def plot_records(records: Sequence[dict], path: str) -> None:
    """Plot each metric, with its spread, over the number of images seen.

    Args:
        records: records of `lada_tf.evaluation.metrics.evaluate_each` that have
            `images_seen`.
        path: path of the picture.
    """
    names = [name for name in records[0]["metrics"] if name in records[0]["spread"]]
    names = names or list(records[0]["metrics"])
    rows = -(-len(names) // COLUMNS)
    figure = figure_class()(figsize=(4 * COLUMNS, 3 * rows), layout="constrained")
    images = [record["images_seen"] for record in records]
    for number, name in enumerate(names, 1):
        axes = figure.add_subplot(rows, COLUMNS, number)
        values = [record["metrics"][name] for record in records]
        errors = [record["spread"].get(name, 0.0) for record in records]
        axes.errorbar(images, values, errors, marker="o", capsize=3)
        axes.set(title=name, xlabel="images seen")
        axes.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=100)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    write_atomically(path, picture.getvalue())
