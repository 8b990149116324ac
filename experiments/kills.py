"""Kill training runs at random moments, and check that the results do not change.

    python -m experiments.kills
    python -m experiments.kills --kills=3 --steps=60

One run of a small configuration is not interrupted. The other runs have the same flags.
SIGKILL ends them at random moments, and they are restarted until they complete. The
kills hit tracing, training and the writing of checkpoints. Each run must have the same
results as the uninterrupted one, bit by bit: the checksums of the last checkpoint,
metrics.jsonl and all pictures. Prints one line per run, and the totals.

Cost: 50 kills take about 20 minutes on 2 CPU cores.
Expected: `identical` equals `runs`.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import flags

from lada_tf import app
from tests.small import SMALL, SMALL_FLAGS

KILLS = flags.DEFINE_integer("kills", 50, "Number of kills.", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", 200, "Steps per run.", lower_bound=4)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the random moments.")

INTERVALS = ("--log_images=8", "--sample_images=80", "--checkpoint_images=12")


def main() -> None:
    moments = random.Random(SEED.value)
    with tempfile.TemporaryDirectory() as directory:
        uninterrupted = Path(directory) / "uninterrupted"
        begin = time.monotonic()
        start(uninterrupted).wait()
        length = time.monotonic() - begin
        print(f"uninterrupted: {length:.0f} s", flush=True)

        totals = {"kills": 0, "resumed": 0, "runs": 0, "identical": 0}
        while totals["kills"] < KILLS.value:
            run = Path(directory) / f"run-{totals['runs']}"
            kills, resumed = interrupted(
                run, KILLS.value - totals["kills"], lambda: moments.uniform(0, length)
            )
            identical = results(run) == results(uninterrupted)
            for name, more in zip(totals, (kills, resumed, 1, identical), strict=True):
                totals[name] += more
            print(f"{run.name}: {kills} kills, identical: {identical}", flush=True)
    print(json.dumps(totals))
    sys.exit(totals["identical"] != totals["runs"])


def interrupted(run: Path, max_kills: int, moment) -> tuple[int, int]:
    """Kill and restart a run until it ends. Return the numbers of kills and resumes."""
    kills = resumed = 0
    while True:
        resumed += any(run.glob("checkpoints/images-*"))
        process = start(run)
        try:
            process.wait(moment() if kills < max_kills else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            continue
        if process.returncode:
            raise SystemExit(f"{run}: ended with exit code {process.returncode}")
        return kills, resumed


def start(run: Path) -> subprocess.Popen:
    total = f"--total_images={STEPS.value * SMALL['batch_size']}"
    arguments = [*SMALL_FLAGS, *INTERVALS, total, f"--run_dir={run}"]
    return subprocess.Popen(
        [sys.executable, "-m", "lada_tf.train", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def results(run: Path) -> dict:
    """Return everything that a run produced, by name."""
    newest = max(run.glob("checkpoints/images-*"))
    pictures = {path.name: path.read_bytes() for path in (run / "samples").iterdir()}
    return {
        "checkpoint": json.loads(
            (newest / "manifest.json").read_text(encoding="utf-8")
        )["sha256"],
        "metrics": (run / "metrics.jsonl").read_text(encoding="utf-8"),
        **pictures,
    }


if __name__ == "__main__":
    app.run(main)
