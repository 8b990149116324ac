"""Files that are whole or absent, whenever the machine stops."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator

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
