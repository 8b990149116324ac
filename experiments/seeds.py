"""Train several runs at once, and summarize a figure over their seeds."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np

from lada_tf.errors import UserError


def train_runs(runs: dict[str, list[str]], output: Path, jobs: int) -> Iterator[Path]:
    """Train runs, or resume them. Yield each run directory when its run ends.

    Args:
        runs: name of a run -> flags of `train`.
        output: directory of the run directories and of their logs, NAME.log.
        jobs: number of concurrent runs, with one thread each.

    Raises:
        UserError: at the end, if runs failed.
    """
    output.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(jobs) as pool:
        ends = {pool.submit(_train, output / name, runs[name]): name for name in runs}
        for end in as_completed(ends):
            if end.result() == 0:
                print(f"{ends[end]}: done", flush=True)
                yield output / ends[end]
    failed = [name for end, name in ends.items() if end.result()]
    if failed:
        raise UserError(
            f"{', '.join(failed)} failed: read {output}/NAME.log, and run this command "
            "again"
        )


def _train(run_dir: Path, arguments: list[str]) -> int:
    """Return the exit code of `train`."""
    with run_dir.with_name(f"{run_dir.name}.log").open("a", encoding="utf-8") as log:
        return subprocess.run(
            [sys.executable, "-m", "lada_tf.train", *arguments, f"--run_dir={run_dir}"],
            env=os.environ
            | {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"},
            stdout=log,
            stderr=log,
        ).returncode


def mean_and_range(values: Sequence[float]) -> str:
    """Return a table cell, such as `3.83 (3.51 to 4.12)`."""
    return f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"
