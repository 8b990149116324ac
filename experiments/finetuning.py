"""Compare fine-tuning the bundled portraits with training from scratch (3 seeds each).

    python scripts/pack_portraits.py --groups=person-activity,person-sport \\
        --output=activities.npz
    python -m experiments.finetuning --data=activities.npz --output=runs/finetuning

Run it again to resume. The tables are Markdown. They show the distance to the 560
images of the new domain after each number of images seen: the mean of the seeds and
their range. `--report` makes the tables and the plot without training, from the metrics
in experiments/results/finetuning.
"""

import concurrent.futures
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from absl import flags

from experiments.figure5 import plot, read_runs
from lada_tf import app
from lada_tf.errors import UserError

ARMS = {
    "scratch": ["--preset=tiny"],
    "finetuned": ["--init_from=portraits"],
    "finetuned_freeze_d": ["--init_from=portraits", "--freeze_d=2"],
}
SETTINGS = [
    "--total_images=8000",
    "--augment=translation",
    "--g_learning_rate=1e-3",
    "--d_learning_rate=1e-3",
    "--ema_decay=0.995",
    "--log_images=1000",
    "--sample_images=8000",
    "--checkpoint_images=8000",
    "--keep_checkpoints=1",
    "--eval_images=2000",
    "--eval_features=small_classifier",
    "--eval_samples=560",
]
METRICS = {"distance": "FD (small classifier)", "KID (small classifier)": "KID"}
RESULTS = Path(__file__).parent / "results" / "finetuning"
FLAGS = flags.FLAGS


def main() -> None:
    if not FLAGS.report:
        runs = [(arm, seed) for seed in range(FLAGS.seeds) for arm in ARMS]
        with concurrent.futures.ThreadPoolExecutor(FLAGS.jobs) as pool:
            failed = [name for name in pool.map(_train, runs) if name]
        if failed:
            raise UserError(
                f"{', '.join(failed)} failed: read {FLAGS.output}/NAME.log, and run "
                "this command again"
            )
    curves = read_runs([f"{RESULTS}/*.jsonl"])
    for metric, title in METRICS.items():
        print(f"{title}\n\n{table(curves, metric)}\n")
    plot(curves, 1, FLAGS.plot, METRICS)


def _train(run: tuple[str, int]) -> str | None:
    """Train one run and keep its metrics. Return its name if it failed."""
    arm, seed = run
    name = f"{arm}-{seed}"
    run_dir = Path(FLAGS.output) / name
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "lada_tf.train", *ARMS[arm], *SETTINGS]
    command += [f"--data={FLAGS.data}", f"--seed={seed}", f"--run_dir={run_dir}"]
    one_thread = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    with run_dir.with_suffix(".log").open("a", encoding="utf-8") as log:
        if subprocess.run(
            command, env=os.environ | one_thread, stdout=log, stderr=log
        ).returncode:
            return name
    RESULTS.mkdir(parents=True, exist_ok=True)
    shutil.copy(run_dir / "metrics.jsonl", RESULTS / f"{name}.jsonl")
    print(f"{name}: done", flush=True)
    return None


def table(curves, metric: str) -> str:
    """Return a row per number of images seen and a column per arm."""
    rows = [f"| images seen | {' | '.join(ARMS)} |", "|---" * (1 + len(ARMS)) + "|"]
    runs = [curve for arm in ARMS for curve in curves[arm][metric]]
    for i, count in enumerate(min((curve[0] for curve in runs), key=len)):
        cells = [f"{count:,.0f}"]
        for arm in ARMS:
            values = [curve[1, i] for curve in curves[arm][metric]]
            low, high = min(values), max(values)
            cells.append(f"{np.mean(values):.2f} ({low:.2f} to {high:.2f})")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    flags.DEFINE_string("data", "activities.npz", "Images of the new domain.")
    flags.DEFINE_string("output", "runs/finetuning", "Directory of the runs.")
    flags.DEFINE_string("plot", "docs/images/finetuning.png", "Picture of the curves.")
    flags.DEFINE_integer("seeds", 3, "Seeds per arm.", lower_bound=1)
    flags.DEFINE_integer("jobs", 2, "Concurrent runs, one thread each.", lower_bound=1)
    flags.DEFINE_boolean(
        "report", False, "Make the tables and the plot without training."
    )
    app.run(main)
