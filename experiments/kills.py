"""Kills a training run at random moments, and looks whether that shows.

    python -m experiments.kills
    python -m experiments.kills --kills=3 --steps=60

One run of a small configuration goes straight through. Others of the same flags are
killed (SIGKILL) at a random moment after their start, be it while the step is traced,
trained, or a checkpoint written, and started again until they end; then the next one
begins. Every run that ends must be the straight one bit for bit: its last checkpoint's
checksums, metrics.jsonl, and every picture. Prints a line a run, and the totals.

Cost: 50 kills take about 20 minutes on 2 CPU cores.
Expected: as many identical as runs.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import app, flags

KILLS = flags.DEFINE_integer("kills", 50, "How many.", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", 200, "Of each run.", lower_bound=4)
SEED = flags.DEFINE_integer("seed", 0, "Of the moments.")

BATCH_SIZE = 4
SMALL = (
    "--preset=tiny",
    "--g_widths=8,8,8",
    "--d_widths=4,8",
    "--d_out_widths=8,8",
    "--g_mlp_dim=8",
    "--d_mlp_dim=8",
    f"--batch_size={BATCH_SIZE}",
    "--log_images=8",
    "--sample_images=80",
    "--checkpoint_images=12",
)


def main(argv: list[str]) -> None:
    del argv
    moments = random.Random(SEED.value)
    with tempfile.TemporaryDirectory() as folder:
        straight = Path(folder) / "straight"
        before = time.monotonic()
        start(straight).wait()
        length = time.monotonic() - before
        print(f"straight: {length:.0f} s", flush=True)

        totals = {"kills": 0, "resumed": 0, "runs": 0, "identical": 0}
        while totals["kills"] < KILLS.value:
            run = Path(folder) / f"run-{totals['runs']}"
            kills, resumed = interrupted(
                run, KILLS.value - totals["kills"], lambda: moments.uniform(0, length)
            )
            identical = results(run) == results(straight)
            for name, more in zip(totals, (kills, resumed, 1, identical), strict=True):
                totals[name] += more
            print(f"{run.name}: {kills} kills, identical: {identical}", flush=True)
    print(json.dumps(totals))
    sys.exit(totals["identical"] != totals["runs"])


def interrupted(run: Path, most: int, moment) -> tuple[int, int]:
    """Kills and restarts a run until it ends; how often it was killed and resumed."""
    kills = resumed = 0
    while True:
        resumed += any(run.glob("checkpoints/images-*"))
        process = start(run)
        try:
            process.wait(moment() if kills < most else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            continue
        if process.returncode:
            raise SystemExit(f"{run}: ended with exit code {process.returncode}")
        return kills, resumed


def start(run: Path) -> subprocess.Popen:
    total = f"--total_images={STEPS.value * BATCH_SIZE}"
    return subprocess.Popen(
        [sys.executable, "-m", "lada_tf.train", *SMALL, total, f"--run_dir={run}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def results(run: Path) -> dict:
    """What a run has to show for itself, by name."""
    newest = max(run.glob("checkpoints/images-*"))
    pictures = {path.name: path.read_bytes() for path in (run / "samples").iterdir()}
    return {
        "checkpoint": json.loads((newest / "manifest.json").read_text())["sha256"],
        "metrics": (run / "metrics.jsonl").read_text(),
        **pictures,
    }


if __name__ == "__main__":
    app.run(main)
