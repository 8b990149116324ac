"""The tables of the paper, with what was measured beside what it reports.

    python -m experiments.report --runs=runs/paper
    python -m experiments.report --costs      # parameters and multiply-adds alone

Rows that have not run have the paper's figures only.
"""

import dataclasses
import json
from pathlib import Path

from absl import flags

from experiments.rows import Row, all_rows
from lada_tf import app
from lada_tf.models import LadaGAN
from lada_tf.models.cost import count_flops

SMOKE_NOTE = (
    "**Smoke runs**: tiny networks, a few steps, portraits in the place of the data, "
    "another feature extractor. Their figures prove that the commands run and nothing "
    "else.\n"
)
METRICS = ("sFID", "IS", "precision", "recall")


def main() -> None:
    rows = all_rows()
    if flags.FLAGS.costs:
        print(cost_table(rows))
    else:
        print(report(rows, Path(flags.FLAGS.runs), smoke=False))


def report(rows: list[Row], runs: Path, smoke: bool) -> str:
    """A Markdown table of each protocol and row: ours, and (the paper's)."""
    lines = [
        "# Rows of the paper\n",
        *([SMOKE_NOTE] if smoke else []),
        "Measured (in the paper); — where there is no figure.\n",
        f"| row | protocol | Fréchet distance | {' | '.join(METRICS)} |",
        "|---" * (3 + len(METRICS)) + "|",
    ]
    for row in rows:
        for protocol, paper in row.expected.items():
            measured = _measured(runs / row.name / f"{protocol}.json")
            # Of other features than Inception's it is no FID, and has their name.
            distance = next(
                (name for name in measured if name.startswith(("FID", "FD"))), "FID"
            )
            cells = [
                _cell(measured.get(distance), paper.get("FID"), distance),
                *(_cell(measured.get(name), paper.get(name)) for name in METRICS),
            ]
            lines.append(f"| {row.name} | {protocol} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _measured(path: Path) -> dict[str, float]:
    return json.loads(path.read_text())["metrics"] if path.exists() else {}


def _cell(measured: float | None, paper: float | None, name: str = "") -> str:
    ours = "—" if measured is None else f"{measured:.2f}"
    if measured is not None and name.startswith("FD"):
        ours = f"{name} {ours}"
    return f"{ours} ({'—' if paper is None else f'{paper:.2f}'})"


def cost_table(rows: list[Row]) -> str:
    """Parameters and multiply-adds of every row's networks; the paper's in brackets."""
    lines = ["| row | G parameters | G | D parameters | D |", "|---" * 5 + "|"]
    for row in rows:
        # Zeros are drawn faster than orthogonal matrices, and cost the same.
        preset = dataclasses.replace(
            row.preset(), g_initializer="zeros", d_initializer="zeros"
        )
        gan = LadaGAN.from_preset(preset)
        cells = []
        for network, paper in (
            (gan.generator, row.g_cost),
            (gan.discriminator, row.d_cost),
        ):
            cells.append(f"{network.count_params() / 1e6:.3f}M")
            cells.append(f"{count_flops(network) / 2e9:.3f}B ({paper or '—'})")
        lines.append(f"| {row.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    flags.DEFINE_string("runs", "runs/paper", "Output of experiments.run.")
    flags.DEFINE_boolean("costs", False, "The costs of the networks, not the scores.")
    app.run(main)
