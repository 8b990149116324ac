"""Readers of images of any size, in a fixed order: directories, zip files and LMDBs."""

import abc
import hashlib
import itertools
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from lada_tf.data.decoding import EXTENSIONS, BadImage
from lada_tf.errors import UserError


class Item(NamedTuple):
    """One image that has not been read yet.

    Attributes:
        name: Name for messages: a path, or a file and a key or index in it.
        load: Returns an encoded file (bytes) or decoded pixels, uint8 (H, W, 3). Raises
            `BadImage`. Must be thread-safe.
    """

    name: str
    load: Callable[[], bytes | np.ndarray]


class Reader(abc.ABC):
    """Images of any size in a fixed order.

    Attributes:
        kind: One word, for the fingerprint: "folder", "zip", ...
        identity: A digest that changes when the images change, but not when they move.
    """

    kind: str
    identity: str

    @abc.abstractmethod
    def __len__(self) -> int:
        """Return the number of images, including damaged ones."""

    @abc.abstractmethod
    def items(self, start: int, stop: int) -> Iterator[Item]:
        """Yield the items [start, stop) in order."""

    def fingerprint(self, image_size: int, resize: str, count: int) -> str:
        """Return the fingerprint of a source with `count` images of this reader."""
        identity = digest(self.identity)[:12]
        return f"{self.kind}:{identity}:{image_size}px:{resize}:{count}"


class FolderReader(Reader):
    """Image files in a directory and its subdirectories, in natural order of the paths.

    Hidden files are ignored. The identity covers relative paths and file sizes, so
    opening a directory reads no file.
    """

    kind = "folder"

    def __init__(self, path: str):
        self._path = path
        sizes = dict(_image_files(path))
        self.names = sorted(sizes, key=_natural_key)
        self.identity = digest(*((name, sizes[name]) for name in self.names))

    def __len__(self) -> int:
        return len(self.names)

    def items(self, start: int, stop: int) -> Iterator[Item]:
        for name in self.names[start:stop]:
            path = os.path.join(self._path, name)
            yield Item(path, partial(_read_file, path))


class ZipReader(Reader):
    """Image files in a zip file, like `FolderReader`. The identity covers checksums."""

    kind = "zip"

    def __init__(self, path: str):
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(
                f"data={path}: cannot read the zip file: {error}"
            ) from error
        members = [
            member
            for member in self._zip.infolist()
            if _is_image(os.path.basename(member.filename))
            and not member.filename.startswith("__MACOSX/")
        ]
        self._members = sorted(members, key=lambda m: _natural_key(m.filename))
        self.identity = digest(*((m.filename, m.CRC) for m in self._members))

    def __len__(self) -> int:
        return len(self._members)

    def items(self, start: int, stop: int) -> Iterator[Item]:
        for member in self._members[start:stop]:
            name = f"{self._path}:{member.filename}"
            yield Item(name, partial(self._read, member))

    def _read(self, member: zipfile.ZipInfo) -> bytes:
        try:
            return self._zip.read(member)
        except Exception as error:  # on damaged data, codecs raise almost anything
            raise BadImage(f"cannot unzip the file: {error}") from error


class LmdbReader(Reader):
    """Encoded images that are the values of an LMDB, in order of their keys.

    LSUN is published in this format. TFDS cannot prepare LSUN with current TensorFlow.
    The identity covers the keys.
    """

    kind = "lmdb"

    def __init__(self, path: str):
        try:
            import lmdb
        except ImportError as error:
            raise UserError(
                f"data={path}: LMDBs require pip install 'lada_tf[lmdb]'"
            ) from error
        self._path = path
        try:
            self._environment = lmdb.open(
                path, subdir=os.path.isdir(path), readonly=True, lock=False
            )
            self._count, sha = 0, hashlib.sha256()
            with self._environment.begin() as transaction:
                for key in transaction.cursor().iternext(values=False):
                    sha.update(len(key).to_bytes(4, "big") + key)
                    self._count += 1
        except lmdb.Error as error:
            raise UserError(f"data={path}: cannot read the LMDB: {error}") from error
        self.identity = sha.hexdigest()

    def __len__(self) -> int:
        return self._count

    def items(self, start: int, stop: int) -> Iterator[Item]:
        # Skipping a million keys takes about 0.1 s. Storing them would take 100 MB.
        with self._environment.begin() as transaction:
            keys = transaction.cursor().iternext(values=False)
            for key in itertools.islice(keys, start, stop):
                name = f"{self._path}:{key.decode(errors='replace')}"
                yield Item(name, partial(self._read, key))

    def _read(self, key: bytes) -> bytes:
        with self._environment.begin() as transaction:
            value = transaction.get(key)
        if value is None:
            raise BadImage("the key no longer exists")
        return value


def digest(*parts: object) -> str:
    """Return the SHA-256 of the text of the parts."""
    lines = "\n".join(map(str, parts))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _image_files(directory: str) -> Iterator[tuple[str, int]]:
    """Yield the relative path and size in bytes of each image file."""
    pending, visited = [""], set()
    while pending:
        relative = pending.pop()
        current = os.path.join(directory, relative)
        real_path = os.path.realpath(current)
        if real_path in visited:  # a link to a parent directory
            continue
        visited.add(real_path)
        try:
            with os.scandir(current) as entries:
                for entry in entries:
                    name = os.path.join(relative, entry.name)
                    if _is_image(entry.name):
                        yield name, entry.stat().st_size
                    elif entry.is_dir() and not entry.name.startswith("."):
                        pending.append(name)
        except OSError as error:
            raise UserError(
                f"data={directory}: cannot read the directory: {error}"
            ) from error


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def _natural_key(name: str) -> tuple[str, str]:
    """Return a key that sorts `2.png` before `10.png`."""
    # 255 is the maximum length of a file name.
    return re.sub("[0-9]+", lambda number: number[0].zfill(255), name), name


def _read_file(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except OSError as error:
        raise BadImage(error.strerror or str(error)) from error
