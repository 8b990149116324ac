"""Trains the study of docs/ablations.md: each attention, three seeds, equal cost.

    python -m experiments.study.train --output=runs/study --jobs=2
    python -m experiments.study.train --output=runs/study --only=lada --only=swin

Started again, it goes on where it was. What each run logged, and its last grid, is
copied to experiments/results/study, from which experiments.study.report makes tables
and plots; a run whose results are there is not trained again.
"""

import concurrent.futures
import os
import shutil
import subprocess
import sys
from pathlib import Path

from absl import flags

from experiments.study.settings import HERE
from lada_tf import app
from lada_tf.errors import UserError

RESULTS = HERE.parent / "results" / "study"
# The first ones are of equal cost and differ in the attention alone.
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
    # All attentions of one seed before the next seed: what is there can be compared.
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
        raise UserError(f"{', '.join(failed)} failed: see the log beside its folder")


def _results(name: str, seed: int) -> Path:
    return RESULTS / f"{name}-{seed}.jsonl"


def _train(run: tuple[str, int]) -> str | None:
    """Trains one run; its name if that failed."""
    name = _results(*run).stem
    folder = Path(FLAGS.output) / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".log").open("a") as log:
        result = subprocess.run(
            [
                sys.executable,
                "-m",
                "lada_tf.train",
                f"--flagfile=experiments/study/{run[0]}.cfg",
                f"--seed={run[1]}",
                f"--run_dir={folder}",
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
    shutil.copy(max(folder.glob("samples/grid-*.png")), RESULTS / f"{name}.png")
    shutil.copy(folder / "metrics.jsonl", _results(*run))
    print(f"{name}: done", flush=True)
    return None


if __name__ == "__main__":
    flags.DEFINE_string("output", "runs/study", "Folder of the run folders.")
    flags.DEFINE_multi_enum("only", VARIANTS, VARIANTS, "Variants to train.")
    flags.DEFINE_integer("seeds", 3, "Seeds of each.", lower_bound=1)
    flags.DEFINE_integer(
        "jobs", 1, "Runs at a time, of one thread each.", lower_bound=1
    )
    app.run(main)
