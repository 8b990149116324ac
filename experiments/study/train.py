"""Train the study of docs/ablations.md: each attention, three seeds, equal cost.

    python -m experiments.study.train --output=runs/study --jobs=2
    python -m experiments.study.train --output=runs/study --only=lada --only=swin

Run it again to resume. Copies each run's metrics and last grid to
experiments/results/study, where experiments.study.report reads them. Runs that have
results there are skipped.
"""

from lada_tf import app  # first: it imports TensorFlow without its log lines

# isort: split
import concurrent.futures
import os
import shutil
import subprocess
import sys
from pathlib import Path

from absl import flags

from experiments.study.settings import HERE
from lada_tf.errors import UserError

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
    "linformer_residual",
)
ATTENTIONS = VARIANTS[:5]

FLAGS = flags.FLAGS


def main() -> None:
    # Train all attentions of one seed first, so that they can be compared early.
    runs = [
        (name, seed)
        for group in (ATTENTIONS, VARIANTS[5:])
        for seed in range(FLAGS.seeds)
        for name in group
        if name in FLAGS.only and not _results(name, seed).exists()
    ]
    with concurrent.futures.ThreadPoolExecutor(FLAGS.jobs) as pool:
        failed = [name for name in pool.map(_train, runs) if name]
    if failed:
        raise UserError(
            f"{', '.join(failed)} failed: read {FLAGS.output}/NAME.log, and run this "
            "command again"
        )


def _results(name: str, seed: int) -> Path:
    return RESULTS / f"{name}-{seed}.jsonl"


def _train(run: tuple[str, int]) -> str | None:
    """Train one run. Return its name if it failed."""
    name = _results(*run).stem
    run_dir = Path(FLAGS.output) / name
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    with run_dir.with_suffix(".log").open("a", encoding="utf-8") as log:
        result = subprocess.run(
            [
                sys.executable,
                "-m",
                "lada_tf.train",
                f"--flagfile=experiments/study/{run[0]}.cfg",
                f"--seed={run[1]}",
                f"--run_dir={run_dir}",
            ],
            env=os.environ
            | {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"},
            stdout=log,
            stderr=log,
            cwd=HERE.parent.parent,
        )
    if result.returncode:
        return name
    RESULTS.mkdir(parents=True, exist_ok=True)
    shutil.copy(max(run_dir.glob("samples/grid-*.png")), RESULTS / f"{name}.png")
    shutil.copy(run_dir / "metrics.jsonl", _results(*run))
    print(f"{name}: done", flush=True)
    return None


if __name__ == "__main__":
    flags.DEFINE_string("output", "runs/study", "Directory of the run directories.")
    flags.DEFINE_multi_enum("only", VARIANTS, VARIANTS, "Variants to train.")
    flags.DEFINE_integer("seeds", 3, "Seeds per variant.", lower_bound=1)
    flags.DEFINE_integer(
        "jobs", 1, "Concurrent runs, with one thread each.", lower_bound=1
    )
    app.run(main)
