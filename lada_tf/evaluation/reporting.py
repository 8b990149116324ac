"""Evaluation records as text, and as a plot over the checkpoints of a run."""

import io
import os
from collections.abc import Sequence
from typing import Any

from lada_tf.errors import UserError
from lada_tf.evaluation.metrics import DEVIATION
from lada_tf.io import write_atomically

COLUMNS = 3


def format_record(record: dict, paper: dict[str, float]) -> str:
    """Return the text of a record: numbers of images, metrics, and memorization."""
    lines = [record["checkpoint"]] if "checkpoint" in record else []
    lines.append(describe_images(record))
    lines.append(format_table(record["metrics"], paper, record["spread"]))
    if "note" in record:
        lines.append(f"note: {record['note']}")
    if "memorization" in record:
        lines += ["", format_memorization(record["memorization"])]
    return "\n".join(lines)


def format_table(
    metrics: dict[str, float],
    paper: dict[str, float],
    spread: dict[str, float],
) -> str:
    """Format metrics, with the columns ± and paper if they have values.

    Leave out the deviations over subsets, because they are not those of column ±.
    """
    names = [name for name in metrics if DEVIATION not in name]
    longest = max(map(len, names))
    columns = {
        "": [name.ljust(longest) for name in names],
        "measured": [f"{metrics[name]:#12.5g}" for name in names],
        "±": [f"{spread[name]:10.2g}" if name in spread else "" for name in names],
        "paper": [f"{paper[name]:8.2f}" if name in paper else "" for name in names],
    }
    columns = {title: cells for title, cells in columns.items() if any(cells)}
    widths = [max(map(len, cells)) for cells in columns.values()]
    rows = [tuple(columns), *zip(*columns.values(), strict=True)]
    lines = [map(str.rjust, row, widths) for row in rows]
    return "\n".join("".join(line).rstrip() for line in lines)


def describe_images(record: dict) -> str:
    """Return the numbers of images that a record compares, as text."""
    reference = record["reference"]
    total, few = reference["num_images"], reference["num_manifold_images"]
    text = f"{record['num_generated']:,} generated images"
    if record["repeats"] > 1:
        text += f" of each of {record['repeats']} seeds"
    text += f", {total:,} real images" if total else ", published statistics"
    if few and few != total:
        text += f" ({few:,} for KID, precision, recall, density and coverage)"
    if record["spread_of"]:
        text += f"; ± is the standard deviation over {record['spread_of']}"
    return text


def format_memorization(record: dict) -> str:
    """Return the text of a record of `MemorizationTest`."""
    held_out = record.get("held_out")
    near = _count(record, "near_copies")
    if held_out:
        number, copies = held_out["num_images"], held_out["near_copies"]
        near += f" (of {number:,} held-out images: {copies:,})"
    lines = [
        f"{record['num_generated']:,} generated images, compared with "
        f"{record['num_training']:,} training images:",
        f"- Exact copies: {_count(record, 'exact_copies')}",
        f"- Near copies: {near}",
        f"- AuthPct: {record['AuthPct']:.2f} % of the images are farther from their "
        "nearest training image than that image is from its own nearest.",
    ]
    if record["mirrored_copies"]:
        lines.insert(3, f"- Mirrored: {record['mirrored_copies']:,} of these copies")
    if held_out:
        value = record["C_T"]
        lines.append(
            "- C_T: not computed, because no cell has 20 held-out and 20 generated "
            "images."
            if value is None
            else f"- C_T: {value:.2f}. Near 0, generated and held-out images are "
            "equally far from the training images. Below -3 is a sign of copies."
        )
    if held_out and held_out["exact_copies"]:
        lines.append(
            f"- Warning: {held_out['exact_copies']:,} held-out images are training "
            "images."
        )
    return "\n".join(lines)


def _count(record: dict, name: str) -> str:
    return f"{record[name]:,}" if record[name] else "none found by this test"


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
