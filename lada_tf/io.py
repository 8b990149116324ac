"""Files that are whole or absent, whenever the machine stops."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from typing import IO

from lada_tf.errors import UserError


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[str]:
    """Yields a temporary name beside `path`, and moves it there once it is on disk.

    At an error what was written is removed, and what was at `path` stays.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.partial")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        raise
    _sync_folder(folder)


def write_atomically(
    path: str | os.PathLike, content: str | bytes | memoryview
) -> None:
    """Writes a file whole or not at all, whatever moment the process dies at."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_json(path: str, content: dict) -> None:
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def read_json(path: str) -> dict:
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def default_cache_dir() -> str:
    """`lada_tf` in XDG_CACHE_HOME or ~/.cache."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(caches, "lada_tf")


@contextlib.contextmanager
def replacing_directory(path: str | os.PathLike) -> Iterator[str]:
    """Yield a new temporary directory next to `path`; rename it to `path` at the end.

    If the body raises, the temporary directory is removed. `path` must not exist, or
    must be an empty directory.
    """
    parent, name = os.path.split(os.path.abspath(path))
    temporary = os.path.join(parent, f".{name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    os.makedirs(temporary)
    try:
        yield temporary
        for directory, _, files in os.walk(temporary):
            for file in files:
                with open(os.path.join(directory, file), "rb+") as stream:
                    os.fsync(stream.fileno())
            _sync_folder(directory)
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_folder(parent)


def try_lock(file: IO) -> bool:
    """Lock an open file for this process. Return False if another process holds it.

    The operating system releases the lock when the file is closed or the process ends.
    """
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
