"""Runs commands and snippets in processes that have TensorFlow imported already.

Each is forked off a server that imported the packages once: a start costs no seconds.
"""

import multiprocessing
import os
import runpy
import sys
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


def run_module(module: str, arguments: list[str], folder: Path) -> None:
    """`python -m module arguments` in that folder.

    Raises:
        AssertionError: with what it printed, if its exit code is not 0.
    """
    _in_a_process(_module, (module, arguments), folder, f"{module} {arguments}")


def run_source(source: str, folder: Path) -> None:
    """Python source in that folder; raises as `run_module` does."""
    _in_a_process(_source, (source,), folder, source)


def _in_a_process(work, arguments, folder, name):
    log = folder / "output.log"
    process = SERVER.Process(target=_guarded, args=(folder, log, work, arguments))
    process.start()
    process.join(timeout=300)
    if process.is_alive():
        process.kill()
        raise AssertionError(f"still runs after 300 s: {name}\n{log.read_text()}")
    assert process.exitcode == 0, f"{name}\n{log.read_text()}"


def _guarded(folder, log, work, arguments):
    os.chdir(folder)
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    work(*arguments)


def _module(module, arguments):
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _source(source):
    exec(compile(source, "<block>", "exec"), {"__name__": "__main__"})
