"""Exceptions that end a command with one line and an exit code."""

import contextlib
import os
import re
import sys
from collections.abc import Container, Iterator
from typing import NoReturn


class LadaError(Exception):
    """Base class. The command prints the message and exits with `exit_code`."""

    exit_code = 1


class UserError(LadaError, ValueError):
    """Invalid input: an argument, a file, or a dataset.

    The message names the argument or file and says what to do. It is a `ValueError`,
    which Python callers can catch.
    """

    exit_code = 2


class TrainingDiverged(LadaError, ArithmeticError):
    """A loss or a gradient became NaN or infinite during training."""

    exit_code = 3


class ExportFailed(LadaError, RuntimeError):
    """An export failed, or the exported model does not match the generator."""


class WorkerLost(LadaError, ConnectionError):
    """Another process of a multi-worker run is gone. Restart all workers."""

    exit_code = 75  # EX_TEMPFAIL in sysexits.h: schedulers retry


@contextlib.contextmanager
def one_line_errors(flag_names: Container[str] = ()) -> Iterator[None]:
    """Print an expected error of the body as one line on stderr, and exit.

    The exit code is that of a `LadaError`, 2 for an error of the operating system, and
    130 for Ctrl-C. If the reader of stdout is gone (`| head`), exit with 141 and print
    nothing, as other programs do. Any other exception is a bug and keeps its traceback.

    Args:
        flag_names: names of the command's flags. `name=value` in a message becomes
            `--name=value` if there is such a flag, and `name=True` becomes `--name`.
    """
    _repair_streams()
    try:
        yield
        sys.stdout.flush()
    except LadaError as error:
        _exit_with(_with_dashes(str(error), flag_names), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes stdout at exit
        sys.exit(141)
    except OSError as error:
        _exit_with(describe_os_error(error), UserError.exit_code)
    except KeyboardInterrupt:
        _exit_with("interrupted", 130)


def describe_os_error(error: OSError) -> str:
    """Return the path and the reason of an error, without the error number."""
    parts = (error.filename2 or error.filename, error.strerror or error)
    return ": ".join(str(part) for part in parts if part is not None)


def _exit_with(message: str, code: int) -> NoReturn:
    with contextlib.suppress(OSError):  # nobody reads stderr
        print("error:", " ".join(message.split()), file=sys.stderr, flush=True)
    sys.exit(code)


def _with_dashes(message: str, flag_names: Container[str]) -> str:
    def name(match: re.Match) -> str:
        if match[1] not in flag_names:
            return match[0]
        return f"--{match[1]}" if match[2] else f"--{match[0]}"

    return re.sub(r"(?<![^\s(])(\w+)=(True\b)?", name, message)


def _repair_streams() -> None:
    """Let stdout and stderr accept any character, and be closed (`2>&-`)."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Closed. The next file to open would get this number, and the log lines.
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):  # a terminal may support ASCII only
            stream.reconfigure(errors="backslashreplace")
