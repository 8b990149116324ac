"""Exceptions that end a command with one line and an exit code (see `lada_tf.app`)."""


class LadaError(Exception):
    """Base class. The command prints the message and exits with `exit_code`."""

    exit_code = 1


class UserError(LadaError, ValueError):
    """Invalid input: an argument, a file, or a dataset.

    The message names the argument or file and says what to do. Python callers can catch
    `ValueError`.
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
