"""Print the paper's tables: our measurements beside the paper's figures.

    python -m experiments.report --runs=runs/paper
    python -m experiments.report --costs      # parameters and multiply-adds only

Rows that have not run show the paper's figures only.
"""

from lada_tf import app  # first: it imports TensorFlow without its log lines

# isort: split
import dataclasses
import json
from pathlib import Path

from absl import flags

from experiments.rows import Row, all_rows
from lada_tf.models import LadaGAN
from lada_tf.models.cost import count_flops

SMOKE_NOTE = (
    "**Smoke runs**: small networks, a few steps, portraits instead of the data, and "
    "another feature extractor. They test that the commands run. The figures mean "
    "nothing.\n"
)
METRICS = ("sFID", "IS", "precision", "recall")


def main() -> None:
    rows = all_rows()
    if flags.FLAGS.costs:
        print(cost_table(rows))
    else:
        print(report(rows, Path(flags.FLAGS.runs), smoke=False))


def report(rows: list[Row], runs: Path, smoke: bool) -> str:
    """Return a Markdown table: a line per row and protocol, ours beside the paper's."""
    lines = [
        "# Rows of the paper\n",
        *([SMOKE_NOTE] if smoke else []),
        "Our figure, and the paper's in parentheses. A dash means: no figure.\n",
        f"| row | protocol | Fréchet distance | {' | '.join(METRICS)} |",
        "|---" * (3 + len(METRICS)) + "|",
    ]
    for row in rows:
        for protocol, paper in row.metrics.items():
            measured = measured_metrics(runs / row.name / f"{protocol}.json")
            # A distance over features other than FID's has another name.
            distance = next(
                (name for name in measured if name.startswith(("FID", "FD"))), "FID"
            )
            cells = [
                _cell(measured.get(distance), paper.get("FID"), distance),
                *(_cell(measured.get(name), paper.get(name)) for name in METRICS),
            ]
            lines.append(f"| {row.name} | {protocol} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def measured_metrics(path: Path) -> dict[str, float]:
    """Return the metrics in a file of `experiments.run`; empty if it does not exist."""
    if not path.exists():
        return {}
    return json.loads(path.read_text(encoding="utf-8"))["metrics"]


def _cell(measured: float | None, paper: float | None, name: str = "") -> str:
    ours = "—" if measured is None else f"{measured:.2f}"
    if measured is not None and name.startswith("FD"):
        ours = f"{name} {ours}"
    return f"{ours} ({'—' if paper is None else f'{paper:.2f}'})"


def cost_table(rows: list[Row]) -> str:
    """Return a table of parameters and multiply-adds, ours beside the paper's."""
    lines = ["| row | G parameters | G | D parameters | D |", "|---" * 5 + "|"]
    for row in rows:
        # Initializing with zeros is faster and does not change the cost.
        preset = dataclasses.replace(
            row.preset(), g_initializer="zeros", d_initializer="zeros"
        )
        gan = LadaGAN.from_preset(preset)
        cells = []
        for network, paper in (
            (gan.generator, row.multiply_adds.get("generator")),
            (gan.discriminator, row.multiply_adds.get("discriminator")),
        ):
            cells.append(f"{network.count_params() / 1e6:.3f}M")
            cells.append(f"{count_flops(network) / 2e9:.3f}B ({paper or '—'})")
        lines.append(f"| {row.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    flags.DEFINE_string("runs", "runs/paper", "Output directory of experiments.run.")
    flags.DEFINE_boolean("costs", False, "Print the costs of the networks.")
    app.run(main)
