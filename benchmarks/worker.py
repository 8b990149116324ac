"""Run code in separate processes, and measure its time and memory.

A worker is a process that keeps its model and waits while other workers are measured.
It reads commands and writes answers, one JSON line each. This module needs only the
standard library, so a worker can run in another environment.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Worker:
    """A worker process, seen from the benchmark.

    Args:
        python: interpreter of the worker's environment.
        module: module of this repository that calls `serve`.
        settings: argument of the worker's `start`, a JSON value.
        environment: additional environment variables.
        limit: seconds after which the process is killed. The default is no limit.

    Attributes:
        first: what the worker's `start` reported.
        start_seconds: time from the start of the process to this report.
    """

    def __init__(self, python, module, settings, environment=None, limit=None):
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  open as long as the process runs
        start = time.perf_counter()
        self._process = subprocess.Popen(
            [python, "-m", module, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(environment or {})},
        )
        self._killer = threading.Timer(limit or 0, self._process.kill)
        if limit:
            self._killer.start()
        self.first = self._answer()
        self.start_seconds = time.perf_counter() - start

    def ask(self, command, **arguments):
        """Send a command, and return the answer."""
        print(json.dumps([command, arguments]), file=self._process.stdin, flush=True)
        return self._answer()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._process.stdin.close()
        self._process.wait()
        self._killer.cancel()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            self._killer.cancel()
            self._log.seek(0)
            sys.exit(f"{self._log.read()}\n{' '.join(self._process.args)} ended")
        return json.loads(line)


def in_new_process(function, *arguments):
    """Call a module's function in a new process, and return its result."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(function, *arguments).result()


def take_turns(
    workers, ask, turns: int, seconds: float, rounds: dict[str, int] | None = None
) -> dict[str, dict]:
    """Measure each side's seconds per step in each turn, and its peak memory.

    Args:
        workers: side -> worker.
        ask: callable (worker, number of steps) -> the result of `timed`.
        turns: number of turns.
        seconds: minimum length of a turn.
        rounds: side -> steps per round. A turn consists of whole rounds. The default
            is one step per round.
    """
    rounds = rounds or dict.fromkeys(workers, 1)
    results = {}
    for side, worker in workers.items():
        for _ in range(2):  # The first round can include tracing.
            once = ask(worker, rounds[side])["seconds"]
        steps = rounds[side] * max(1, round(seconds / once))
        results[side] = {"steps_a_turn": steps, "seconds": []}
    for _ in range(turns):
        for side, worker in workers.items():
            turn = ask(worker, steps := results[side]["steps_a_turn"])
            results[side]["seconds"].append(turn["seconds"] / steps)
            results[side]["peak_mb"] = turn["peak_mb"]
    return results


def serve(start) -> None:
    """Run a worker. Its main program only calls this function.

    Args:
        start: callable (settings) -> (report, commands). `commands` maps names to
            callables that return JSON values.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Libraries print to stdout, which the answers use.
    report, commands = start(json.loads(sys.argv[1]))
    print(json.dumps(report), file=answers, flush=True)
    for line in sys.stdin:
        command, arguments = json.loads(line)
        answer = commands[command](**arguments)
        print(json.dumps(answer), file=answers, flush=True)


def timed(run) -> dict[str, float]:
    """Call `run`. Return its seconds and the peak memory of the process."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # resets the peak
    start = time.perf_counter()
    run()
    return {
        "seconds": time.perf_counter() - start,
        "peak_mb": peak_mb(),
    }


def gpu_peak_mb() -> float:
    """Return the most memory that TensorFlow had on the first GPU."""
    import tensorflow as tf

    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20


def peak_mb() -> float:
    return _status_mb("VmHWM")


def resident_mb() -> float:
    return _status_mb("VmRSS")


def _status_mb(field: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024
