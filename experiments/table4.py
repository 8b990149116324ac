"""Print Table IV: FID of our runs, of the paper and of other published models.

    python -m experiments.table4 --runs=runs/paper

`published.csv` has the figures and sources of the other models. The authors of these
models computed them, with their own evaluators. Rows that have not run have no figure.
"""

from lada_tf import app  # first: it imports TensorFlow without its log lines

# isort: split
import csv
from pathlib import Path

from absl import flags

from experiments.report import measured_metrics
from experiments.rows import EXPERIMENTS, rows_named

DATA = {
    "cifar10": "CIFAR-10",
    "celeba64": "CelebA 64",
    "ffhq128": "FFHQ 128",
    "bedroom128": "LSUN Bedroom 128",
    "bedroom256": "LSUN Bedroom 256",
}


def main() -> None:
    print(table(Path(flags.FLAGS.runs)))


def table(runs: Path) -> str:
    """Return the rows as Markdown."""
    with (EXPERIMENTS / "published.csv").open(newline="", encoding="utf-8") as file:
        published = list(csv.DictReader(file))
    lines = ["| data | model | FID | source |", "|---" * 4 + "|"]
    for row in rows_named(list(DATA)):
        data = DATA[row.name]
        for other in published:
            if other["data"] == data:
                cells = (data, other["model"], other["FID"], other["source"])
                lines.append(f"| {' | '.join(cells)} |")
        for protocol, figures in row.metrics.items():
            source = f"arXiv:2401.09596, {protocol}"
            lines.append(f"| {data} | LadaGAN | {figures['FID']:.2f} | {source} |")
            scores = runs / row.name / f"{protocol}.json"
            metrics = measured_metrics(scores)
            ours = f"{metrics['FID']:.2f}" if "FID" in metrics else "—"
            lines.append(f"| {data} | lada_tf | {ours} | {scores} |")
    return "\n".join(lines)


if __name__ == "__main__":
    flags.DEFINE_string("runs", "runs/paper", "Output directory of experiments.run.")
    app.run(main)
