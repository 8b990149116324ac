"""Errors that a command ends with in one line, and their exit codes (`lada_tf.app`)."""


class LadaError(Exception):
    """Ends a command with its message as one line, and `exit_code`."""

    exit_code = 1


class UserError(LadaError, ValueError):
    """Something that the user gave is wrong: a flag, a file, a dataset.

    The message names the flag or file and what would mend it. Python callers may catch
    `ValueError`.
    """

    exit_code = 2


class TrainingDiverged(LadaError, ArithmeticError):
    """Training came to a loss or gradient that is not finite."""

    exit_code = 3


class ExportFailed(LadaError, RuntimeError):
    """An exported model could not be made, or is not the generator it was made from."""


class WorkerLost(LadaError, ConnectionError):
    """Another process of a run on several workers is gone: start all of them again."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h, on which schedulers try again
