"""Compare fine-tuning the bundled portraits with training from scratch (3 seeds each).

    python scripts/pack_portraits.py --groups=person-activity,person-sport \\
        --output=activities.npz
    python -m experiments.finetuning --data=activities.npz --output=runs/finetuning

Run the second command again to resume. It prints two Markdown tables, FD and KID to
the 560 images, by the number of images seen. Each cell has the mean of the seeds and
their range. `--report` makes the tables and the plot without training, from the metrics
in experiments/results/finetuning.
"""

import shutil
from pathlib import Path

from absl import flags

from experiments.figure5 import plot, read_runs
from experiments.seeds import mean_and_range, train_runs
from lada_tf import app

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
        runs = {
            f"{arm}-{seed}": [
                *ARMS[arm],
                *SETTINGS,
                f"--data={FLAGS.data}",
                f"--seed={seed}",
            ]
            for seed in range(FLAGS.seeds)
            for arm in ARMS
        }
        RESULTS.mkdir(parents=True, exist_ok=True)
        for run_dir in train_runs(runs, Path(FLAGS.output), FLAGS.jobs):
            shutil.copy(run_dir / "metrics.jsonl", RESULTS / f"{run_dir.name}.jsonl")
    curves = read_runs([f"{RESULTS}/*.jsonl"])
    for metric, title in METRICS.items():
        print(f"{title}\n\n{table(curves, metric)}\n")
    plot(curves, 1, FLAGS.plot, METRICS)


def table(curves, metric: str) -> str:
    """Return a row per number of images seen and a column per arm."""
    rows = [f"| images seen | {' | '.join(ARMS)} |", "|---" * (1 + len(ARMS)) + "|"]
    runs = [curve for arm in ARMS for curve in curves[arm][metric]]
    for i, count in enumerate(min((curve[0] for curve in runs), key=len)):
        cells = [f"{count:,.0f}"]
        for arm in ARMS:
            cells.append(mean_and_range([curve[1, i] for curve in curves[arm][metric]]))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    flags.DEFINE_string("data", "activities.npz", "Images of the new domain.")
    flags.DEFINE_string("output", "runs/finetuning", "Directory of the runs.")
    flags.DEFINE_string("plot", "docs/images/finetuning.png", "Picture of the curves.")
    flags.DEFINE_integer("seeds", 3, "Seeds per arm.", lower_bound=1)
    flags.DEFINE_integer(
        "jobs", 2, "Concurrent runs, with one thread each.", lower_bound=1
    )
    flags.DEFINE_boolean(
        "report", False, "Make the tables and the plot without training."
    )
    app.run(main)
