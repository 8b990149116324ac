"""Workers: one process per side of a benchmark, which waits while others are measured.

A worker reads commands and writes answers, one JSON line each. This module needs only
the standard library, so a worker can run in another environment.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Worker:
    """A worker process, seen from the benchmark.

    Args:
        python: interpreter of the worker's environment.
        module: module of this repository that calls `serve`.
        settings: argument of the worker's `start`; JSON.
        environment: further environment variables.
        limit: seconds after which the process is killed. The default is no limit.

    Attributes:
        first: report of the worker's `start`.
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


def take_turns(
    workers, ask, rounds, turns: int, seconds: float, warm_ups: int = 1
) -> dict[str, dict]:
    """Measure seconds per step of each side in each turn, and peak memory in the last.

    Args:
        workers: side -> worker.
        ask: callable (worker, number of steps) -> the result of `timed`.
        rounds: side -> steps per round. A turn consists of whole rounds.
        turns: number of turns.
        seconds: length of a turn, or a round if longer.
        warm_ups: rounds before the first turn. The last one tells how long one takes.
    """
    results = {}
    for side, worker in workers.items():
        for _ in range(warm_ups):
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
    """Run a worker: its main program calls this function only.

    Args:
        start: callable (settings) -> (report, commands), where commands are callables
            by name that return JSON values.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print there
    report, commands = start(json.loads(sys.argv[1]))
    print(json.dumps(report), file=answers, flush=True)
    for line in sys.stdin:
        command, arguments = json.loads(line)
        answer = commands[command](**arguments)
        print(json.dumps(answer), file=answers, flush=True)


def timed(run) -> dict[str, float]:
    """Call `run`. Return its wall-clock seconds, CPU seconds and peak memory."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # resets the peak
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
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
