"""A disk without room: one clear line instead of a traceback."""

import contextlib
import errno
import os
from collections.abc import Iterator

import tensorflow as tf

from lada_tf.errors import UserError

REASONS = tuple(
    os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
)


def reason_of(error: BaseException) -> str:
    """Why a write failed: that the disk is full, in words, or the error's own text."""
    text = str(error)
    return next((reason for reason in REASONS if reason in text), text)


@contextlib.contextmanager
def full_disk_named(run_dir) -> Iterator[None]:
    """Raises UserError where a write to a run folder fails for want of room."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        reason = reason_of(error)
        if reason not in REASONS:
            raise
        raise UserError(
            f"--run_dir={run_dir}: {reason}; make room and start again: training goes "
            "on from the last checkpoint"
        ) from error
