"""Commands and snippets in processes that have TensorFlow imported already.

Each is forked off a server that imported the packages once: a start costs no seconds.
Two of them have the same hash seeds and addresses. Where bits must not depend on those,
processes start from nothing: `experiments.kills`, `test_workers.py`.
"""

import multiprocessing
import os
import resource
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "lada_tf.app",
        "lada_tf.evaluation.callback",
        "lada_tf.serving",
        "lada_tf.training",
    ]
)


class Process:
    """What `start` started; ends by itself, or with `terminate()` or `kill()`."""

    def __init__(self, name, work, arguments, folder, file_size=None):
        self._name = name
        self._folder = tempfile.TemporaryDirectory()
        self._logs = [Path(self._folder.name, kind) for kind in ("stdout", "stderr")]
        for log in self._logs:
            log.touch()
        self._process = SERVER.Process(
            target=_prepared,
            args=(Path(folder).resolve(), file_size, self._logs, work, arguments),
        )
        self._process.start()
        self.terminate, self.kill = self._process.terminate, self._process.kill

    def is_running(self) -> bool:
        return self._process.is_alive()

    def wait(self, timeout=300) -> subprocess.CompletedProcess:
        """Exit code (minus the signal that ended it) and what it printed."""
        self._process.join(timeout)
        stdout, stderr = (log.read_text() for log in self._logs)
        if self._process.exitcode is None:
            self.kill()
            raise AssertionError(f"still runs: {self._name}\n{stderr}")
        return subprocess.CompletedProcess(
            self._name, self._process.exitcode, stdout, stderr
        )

    def succeed(self) -> str:
        """`wait`, for exit code 0; what it printed."""
        result = self.wait()
        assert result.returncode == 0, f"{self._name}\n{result.stderr}"
        return result.stdout

    def wait_for(self, condition, timeout=240) -> None:
        """Until the condition holds, or the process is gone."""
        deadline = time.monotonic() + timeout
        while self.is_running() and not condition():
            assert time.monotonic() < deadline, self._name
            time.sleep(0.005)


def start(module, *arguments, folder=".", file_size=None) -> Process:
    """`python -m module arguments` in that folder.

    Args:
        module: str.
        *arguments: of any type that `str` makes one of.
        folder: path.
        file_size: int, bytes that no file may grow beyond, as on a full disk.
    """
    arguments = [str(argument) for argument in arguments]
    name = " ".join([module, *arguments])
    return Process(name, _module, (module, arguments), folder, file_size)


def run(module, *arguments, **options) -> subprocess.CompletedProcess:
    """`start`, to its end."""
    return start(module, *arguments, **options).wait()


def succeed(module, *arguments, **options) -> str:
    """`start`, to its end, which has to be a good one; what it printed."""
    return start(module, *arguments, **options).succeed()


def succeed_with_source(source, folder) -> None:
    """Python source in that folder, which has to succeed."""
    Process(source, _source, (source,), folder).succeed()


def _prepared(folder, file_size, logs, work, arguments):
    os.chdir(folder)
    for descriptor, log in enumerate(logs, start=1):
        with log.open("w") as file:
            os.dup2(file.fileno(), descriptor)
    if file_size:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    work(*arguments)


def _module(module, arguments):
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _source(source):
    exec(compile(source, "<block>", "exec"), {"__name__": "__main__"})
