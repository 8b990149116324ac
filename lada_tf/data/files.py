"""Files that are whole or absent, whenever the machine stops."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator

from lada_tf.errors import UserError


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields a temporary name beside `path`, and moves it there once it is on disk."""
    temporary = path + ".tmp"
    yield temporary
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    _sync_folder(os.path.dirname(path))


def write_json(path: str, content: dict) -> None:
    with replacing(path) as temporary, open(temporary, "w") as file:
        json.dump(content, file, indent=1)
        file.write("\n")


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
