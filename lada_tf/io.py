"""Files: paths, atomic writes, locks, checksums, the cache directory, full disks."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
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


def utf8_path(name: str, path: str | os.PathLike) -> Path:
    """Return a path that TensorFlow can open: its names must be UTF-8.

    Raises:
        UserError: if they are not, with `name=path`.
    """
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{name}={os.fspath(path)!a}: TensorFlow opens only names in UTF-8. Choose "
            "another name"
        ) from error
    return Path(path)


def check_output(
    name: str,
    path: str | os.PathLike,
    endings: Sequence[str],
    overwrite: bool = False,
) -> str:
    """Check an output before the work that computes it.

    A name with an ending is a file, unless it is an existing directory or ends with a
    slash. An ending starts with a letter: that of `models/c10-v1.2` is none.

    Args:
        name: name of the argument, for messages.
        path: path of the output. Its parents need not exist.
        endings: endings of possible files, in lower case; "" allows a directory.
        overwrite: whether the output may exist.

    Returns:
        One of `endings`.

    Raises:
        UserError: if the ending is another one, or the output exists or cannot be
            written.
    """
    where, path = f"{name}={os.fspath(path)}", os.fspath(path)
    suffix = os.path.splitext(path)[1].lower()
    is_directory = os.path.isdir(path) or path.endswith(("/", os.sep))
    is_file = not is_directory and re.fullmatch(r"\.[a-z]\w*", suffix)
    ending = suffix if is_file else ""
    if ending not in endings:
        kinds = [e or "a directory, with / at its end" for e in endings]
        raise UserError(f"{where}: expected {' or '.join(kinds)}")
    exists = os.listdir(path) if os.path.isdir(path) else os.path.lexists(path)
    if exists and not overwrite:
        raise UserError(
            f"{where}: already exists. Choose another path, or overwrite=True"
        )
    if exists and not is_directory and not ending:
        raise UserError(f"{where}: is a file. Choose another path")
    parent = os.path.abspath(path) if is_directory else os.path.abspath(path + "/..")
    while not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    if not os.path.isdir(parent) or not os.access(parent, os.W_OK | os.X_OK):
        raise UserError(f"{where}: no directory that can be written: {parent}")
    return ending


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[str]:
    """Yield a temporary path in the same directory; rename it to `path` at the end.

    If the body raises, the temporary file is removed and `path` stays as it was.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{os.getpid()}.partial")
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
    """Yield a new temporary directory; give it or its files the name `path` at the end.

    If the body raises, the temporary directory is removed and `path` stays as it was.

    Args:
        path: the directory to write. Missing parents are created.
        overwrite: whether to delete an existing directory. If False, it gets the new
            files, which replace those of the same names. It may be a mount point.
    """
    path = os.path.abspath(path)
    parent, name = os.path.split(path)
    keep = os.path.isdir(path) and not overwrite
    temporary = os.path.join(path if keep else parent, f".{name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    os.makedirs(temporary)
    try:
        yield temporary
        for directory, _, files in os.walk(temporary):
            for file in files:
                with open(os.path.join(directory, file), "rb+") as stream:
                    os.fsync(stream.fileno())
            _sync_directory(directory)
        moves = [(temporary, path)]
        if keep:
            names = os.listdir(temporary)
            moves = [(os.path.join(temporary, n), os.path.join(path, n)) for n in names]
        for source, target in moves:
            shutil.rmtree(target, ignore_errors=True)
            os.replace(source, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if keep:
        os.rmdir(temporary)
    _sync_directory(path if keep else parent)


def write_atomically(
    path: str | os.PathLike, content: str | bytes | memoryview
) -> None:
    """Write a whole file, or leave `path` as it was if the process dies."""
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogateescape")  # names that are Latin-1
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(content)


def read_text(path: str | os.PathLike) -> str:
    """Return the text of a file: UTF-8, or what a byte order mark says.

    Bytes that are not UTF-8, such as in the names of old files, are kept as surrogates.
    """
    with open(path, "rb") as file:
        content = file.read()
    text = content.decode(json.detect_encoding(content), "surrogateescape")
    return text.replace("\r\n", "\n")


def write_json(path: str | os.PathLike, content: dict) -> None:
    """Write a JSON file atomically."""
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def read_json(path: str | os.PathLike) -> dict:
    """Read a JSON file.

    Raises:
        UserError: if the file is missing or is not valid JSON.
    """
    try:
        return json.loads(read_text(path))
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


def _sync_directory(path: str) -> None:
    """Flush a directory's entries to the disk, where the system supports it."""
    if os.name == "nt":
        return
    descriptor = os.open(path or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
