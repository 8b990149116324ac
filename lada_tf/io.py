"""Files: paths, atomic writes, locks, checksums, the cache directory, full disks."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from typing import IO

from lada_tf.errors import LadaError, UserError

DISK_FULL_ERRORS = tuple(
    os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
)


def user_path(path: str | os.PathLike) -> str:
    """Return a path from the user, with a leading `~` replaced by the home directory.

    Raises:
        UserError: if the home directory is unknown.
    """
    expanded = os.path.expanduser(os.fspath(path))
    is_unknown = expanded.split(os.sep)[0] == "~" or os.environ.get("HOME") == ""
    if os.fspath(path).startswith("~") and is_unknown:
        raise UserError(f"{path}: the home directory is unknown. Write the whole path")
    return expanded


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[str]:
    """Yield a temporary path in the same directory; rename it to `path` at the end.

    If the body raises, the temporary file is removed and `path` stays as it was.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, _temporary_name(name))
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        raise
    _sync_directory(directory)


@contextlib.contextmanager
def replacing_directory(
    path: str | os.PathLike, overwrite: bool = False
) -> Iterator[str]:
    """Yield a new temporary directory next to `path`; rename it to `path` at the end.

    If the body raises, the temporary directory is removed and `path` stays as it was.

    Args:
        path: the directory to write. Missing parents are created.
        overwrite: whether to replace an existing directory. If False, `path` must not
            exist or must be empty.
    """
    parent, name = os.path.split(os.path.abspath(path))
    temporary = os.path.join(parent, _temporary_name(name))
    os.makedirs(temporary)
    try:
        yield temporary
        for directory, _, files in os.walk(temporary):
            for file in files:
                with open(os.path.join(directory, file), "rb+") as stream:
                    os.fsync(stream.fileno())
            _sync_directory(directory)
        if overwrite:
            shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_directory(parent)


def write_atomically(
    path: str | os.PathLike, content: str | bytes | memoryview
) -> None:
    """Write a whole file, or leave `path` as it was if the process dies."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_json(path: str | os.PathLike, content: dict) -> None:
    """Write a JSON file atomically."""
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def read_json(path: str | os.PathLike) -> dict:
    """Read a JSON file.

    Raises:
        UserError: if the file is missing or is not valid JSON.
    """
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error


def sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 checksum of a file in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def try_lock(file: IO) -> bool:
    """Lock an open file for this process. Return False if another process holds it.

    The operating system releases the lock when the file is closed or the process ends.
    """
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(2**30)  # a byte behind the content, which stays readable
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def default_cache_dir() -> str:
    """Return the directory `lada_tf` in $XDG_CACHE_HOME or ~/.cache."""
    return os.path.join(
        user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache"), "lada_tf"
    )


def failure_reason(error: BaseException) -> str:
    """Return why a write failed: the "disk full" text if it says so, or all of it."""
    text = str(error)
    return next((reason for reason in DISK_FULL_ERRORS if reason in text), text)


@contextlib.contextmanager
def reporting_full_disk(run_dir: str | os.PathLike) -> Iterator[None]:
    """Raise a UserError with one clear line if a write fails because the disk is full.

    TensorFlow has its own exception types for file errors, so the text decides.
    """
    try:
        yield
    except Exception as error:
        reason = failure_reason(error)
        if isinstance(error, LadaError) or reason not in DISK_FULL_ERRORS:
            raise
        raise UserError(
            f"run_dir={run_dir}: {reason}. Free some space and run the same command "
            "again; it resumes from the last checkpoint"
        ) from error


def _temporary_name(name: str) -> str:
    """Return a name that no other writer uses, on any machine."""
    return f".{name}.{uuid.uuid4().hex[:12]}.partial"


def _sync_directory(path: str) -> None:
    """Flush a directory's entries to the disk, where the system supports it."""
    if os.name == "nt":
        return
    descriptor = os.open(path or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
