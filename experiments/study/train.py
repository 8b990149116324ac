"""Train the study of docs/ablations.md: each attention, three seeds, equal cost.

    python -m experiments.study.train --output=runs/study --jobs=2
    python -m experiments.study.train --output=runs/study --only=lada --only=swin

Run the command again to resume. It copies each run's metrics and last grid to
experiments/results/study, where experiments.study.report reads them.
"""

from lada_tf import app  # first: it imports TensorFlow without its log lines

# isort: split
import shutil
from pathlib import Path

from absl import flags

from experiments.seeds import train_runs
from experiments.study.settings import HERE

RESULTS = HERE.parent / "results" / "study"
# The first five differ only in the attention, and have equal cost.
VARIANTS = (
    "lada",
    "fastformer",
    "linformer",
    "swin",
    "dot_product",
    "lada_residual",
    "lada_layer_norm",
)
ATTENTIONS = VARIANTS[:5]

FLAGS = flags.FLAGS


def main() -> None:
    # Train all attentions of one seed first, so that they can be compared early.
    runs = {
        f"{name}-{seed}": [
            f"--flagfile=experiments/study/{name}.cfg",
            f"--seed={seed}",
        ]
        for group in (ATTENTIONS, VARIANTS[5:])
        for seed in range(FLAGS.seeds)
        for name in group
        if name in FLAGS.only
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    for run_dir in train_runs(runs, Path(FLAGS.output), FLAGS.jobs):
        last_grid = max(run_dir.glob("samples/grid-*.png"))
        shutil.copy(last_grid, RESULTS / f"{run_dir.name}.png")
        shutil.copy(run_dir / "metrics.jsonl", RESULTS / f"{run_dir.name}.jsonl")


if __name__ == "__main__":
    flags.DEFINE_string("output", "runs/study", "Directory of the run directories.")
    flags.DEFINE_multi_enum("only", VARIANTS, VARIANTS, "Variants to train.")
    flags.DEFINE_integer("seeds", 3, "Seeds per variant.", lower_bound=1)
    flags.DEFINE_integer(
        "jobs", 1, "Concurrent runs, with one thread each.", lower_bound=1
    )
    app.run(main)
