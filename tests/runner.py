"""Run commands and snippets in processes in which TensorFlow is already imported.

They start quickly, because they are forks of a server process that imported the
packages once. They share hash seeds and addresses. `test_workers.py` and
`experiments.kills` start new processes, to show that results do not depend on those.
"""

import contextlib
import multiprocessing
import os
import resource
import runpy
import socket
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
    """A running process. It ends by itself, or with `terminate()` or `kill()`."""

    def __init__(self, name, function, arguments, directory, file_size=None):
        self._name = name
        self._logs_directory = tempfile.TemporaryDirectory()
        self._logs = [
            Path(self._logs_directory.name, kind) for kind in ("stdout", "stderr")
        ]
        for log in self._logs:
            log.touch()
        self._process = SERVER.Process(
            target=_prepared,
            args=(
                Path(directory).resolve(),
                file_size,
                self._logs,
                function,
                arguments,
            ),
        )
        self._process.start()
        self.terminate, self.kill = self._process.terminate, self._process.kill

    def is_running(self) -> bool:
        return self._process.is_alive()

    def wait(self, timeout=300) -> subprocess.CompletedProcess:
        """Wait for the end. A negative return code is the signal that ended it."""
        self._process.join(timeout)
        stdout, stderr = (log.read_text() for log in self._logs)
        if self._process.exitcode is None:
            self.kill()
            raise AssertionError(f"timeout: {self._name}\n{stderr}")
        return subprocess.CompletedProcess(
            self._name, self._process.exitcode, stdout, stderr
        )

    def succeed(self) -> str:
        """Wait for the end, check that the return code is 0, and return stdout."""
        result = self.wait()
        assert result.returncode == 0, f"{self._name}\n{result.stderr}"
        return result.stdout

    def wait_for(self, condition, timeout=240) -> None:
        """Wait until the condition holds or the process has ended."""
        deadline = time.monotonic() + timeout
        while self.is_running() and not condition():
            assert time.monotonic() < deadline, self._name
            time.sleep(0.005)


def start(module, *arguments, directory=".", file_size=None) -> Process:
    """Start `python -m module arguments`.

    Args:
        module: str.
        *arguments: any objects; `str` converts them.
        directory: path, the working directory.
        file_size: int, maximum bytes of a file, to simulate a full disk.
    """
    arguments = [str(argument) for argument in arguments]
    name = " ".join([module, *arguments])
    return Process(name, _module, (module, arguments), directory, file_size)


def run(module, *arguments, **options) -> subprocess.CompletedProcess:
    """Run `python -m module arguments`, see `start`."""
    return start(module, *arguments, **options).wait()


def succeed(module, *arguments, **options) -> str:
    """Run it, see `start`. Check that the return code is 0, and return stdout."""
    return start(module, *arguments, **options).succeed()


def succeed_with_source(source, directory) -> None:
    """Run Python source in the directory, and check that it succeeds."""
    Process(source, _source, (source,), directory).succeed()


def free_ports(count) -> list[int]:
    """Return ports of this machine that are not in use."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _prepared(directory, file_size, logs, function, arguments):
    os.chdir(directory)
    for descriptor, log in enumerate(logs, start=1):
        with log.open("w") as file:
            os.dup2(file.fileno(), descriptor)
    if file_size:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    function(*arguments)


def _module(module, arguments):
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _source(source):
    exec(compile(source, "<block>", "exec"), {"__name__": "__main__"})
