"""A benchmark's sides as processes of their own, which wait while it is not their turn.

A worker answers one JSON line for each JSON line it is asked. It needs nothing but the
standard library, so that a side may run in another environment and TensorFlow.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Worker:
    """The asking side.

    Args:
        python: interpreter of the worker's environment.
        module: module of this repository that calls `serve`.
        settings: what it is started with; JSON.

    Attributes:
        first: what it reports once it has started.
        start_seconds: from the start of the process until then.
    """

    def __init__(self, python, module, settings):
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  the process's
        start = time.perf_counter()
        self._process = subprocess.Popen(
            [python, "-m", module, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        self.first = self._answer()
        self.start_seconds = time.perf_counter() - start

    def ask(self, command, **arguments):
        """The answer to a command, one of those given to `serve`."""
        print(json.dumps([command, arguments]), file=self._process.stdin, flush=True)
        return self._answer()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._process.stdin.close()
        self._process.wait()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            sys.exit(f"{self._log.read()}\n{' '.join(self._process.args)} ended")
        return json.loads(line)


def take_turns(
    workers, ask, rounds, turns: int, seconds: float, warm_ups: int = 1
) -> dict[str, dict]:
    """What each side takes for a step in each turn, and its peak memory in the last.

    Args:
        workers: side → worker.
        ask: callable, worker and number of steps → what `timed` reports of them.
        rounds: side → steps that belong together; a turn is a multiple of these.
        turns: how many.
        seconds: length of a turn, or a round if longer.
        warm_ups: rounds before; the last says how long one takes.
    """
    found = {}
    for side, worker in workers.items():
        for _ in range(warm_ups):
            once = ask(worker, rounds[side])["seconds"]
        steps = rounds[side] * max(1, round(seconds / once))
        found[side] = {"steps_a_turn": steps, "seconds": []}
    for _ in range(turns):
        for side, worker in workers.items():
            turn = ask(worker, steps := found[side]["steps_a_turn"])
            found[side]["seconds"].append(turn["seconds"] / steps)
            found[side]["peak_mb"] = turn["peak_mb"]
    return found


def serve(start) -> None:
    """The answering side: all that a worker's main program does.

    Args:
        start: callable, settings → (report of the start, dict of commands); a command
            takes its arguments and returns its answer.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    report, commands = start(json.loads(sys.argv[1]))
    print(json.dumps(report), file=answers, flush=True)
    for line in sys.stdin:
        command, arguments = json.loads(line)
        answer = commands[command](**arguments)
        print(json.dumps(answer), file=answers, flush=True)


def timed(run) -> dict[str, float]:
    """Runs it: its seconds, those of all threads on processors, and peak memory.

    The peak is the process's while it ran, not before.
    """
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    wall, processors = time.perf_counter(), time.process_time()
    run()
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - processors,
        "peak_mb": peak_mb(),
    }


def peak_mb() -> float:
    return _status_mb("VmHWM")


def resident_mb() -> float:
    return _status_mb("VmRSS")


def _status_mb(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024
