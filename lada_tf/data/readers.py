"""Readers of images of any size, in a fixed order: directories and zip files."""

import abc
import functools
import hashlib
import heapq
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from lada_tf.data.decoding import EXTENSIONS, MAX_FILE_BYTES, BadImage
from lada_tf.errors import UserError
from lada_tf.io import (
    file_state,
    is_hidden,
    open_zip,
    read_at_most,
    read_bytes,
    read_cached,
    write_cached,
)
from lada_tf.runtime import parallel_map, progress_bar

_UNREADABLE = "unreadable"


class Item(NamedTuple):
    """One image that has not been read yet.

    Attributes:
        name: Name for messages: a path, or a file with a key or index.
        load: Returns an encoded file (bytes) or decoded pixels, uint8 (H, W, 3). Raises
            `BadImage`. Must be thread-safe.
    """

    name: str
    load: Callable[[], bytes | np.ndarray]


class Reader(abc.ABC):
    """Images of any size in a fixed order.

    Attributes:
        kind: One word, for the fingerprint: "folder", "zip", ...
        files: Paths of the files that hold the images, if there are any.
        selection: Text that says which part of the files is read.
        default_resize: A name in `lada_tf.data.resize`.
        cache_dir: Directory of the cached identity. None is the default directory.
    """

    kind: str
    files: Sequence[str] = ()
    selection = ""
    default_resize = "center_crop"
    cache_dir: str | None = None

    @abc.abstractmethod
    def __len__(self) -> int:
        """Return the number of images, including damaged ones."""

    @abc.abstractmethod
    def items(self, start: int, stop: int) -> Iterator[Item]:
        """Yield the items [start, stop) in order."""

    @functools.cached_property
    def identity(self) -> str:
        """Digest of the images in their order. It does not depend on paths or times.

        Computing it reads all images. The result is cached while the files stay the
        same.
        """
        state = file_state(self.files)
        key = digest(self.kind, self.selection, state)
        if state and (known := read_cached(key, self.cache_dir)):
            return known
        digests = parallel_map(_digest_item, self.items(0, len(self)))
        parts = list(progress_bar(digests, len(self), "checking"))
        identity = digest(*parts)
        if state and _UNREADABLE not in parts:  # read errors can be temporary
            write_cached(key, identity, self.cache_dir)
        return identity

    def fingerprint(self, image_size: int, resize: str, count: int) -> str:
        """Return the fingerprint of a source with `count` images of this reader."""
        identity = digest(self.identity)[:12]
        return f"{self.kind}:{identity}:{image_size}px:{resize}:{count}"


class FolderReader(Reader):
    """Image files in a directory and its subdirectories, in natural order of the paths.

    Leaves out hidden files and directories, and run directories. Follows links to
    directories, but enters each directory only once.
    """

    kind = "folder"

    def __init__(self, path: str):
        try:
            self.names = _image_names(_walk(path))
        except OSError as error:
            raise UserError(
                f"data={path}: cannot read the directory: {error}"
            ) from error
        self.files = [os.path.join(path, name) for name in self.names]

    def __len__(self) -> int:
        return len(self.names)

    def items(self, start: int, stop: int) -> Iterator[Item]:
        for path in self.files[start:stop]:
            yield Item(path, partial(_read_file, path))


class ZipReader(Reader):
    """Image files in a zip file: those that `FolderReader` would find unzipped.

    The identity covers the checksums in the zip file, so opening it reads no image.
    """

    kind = "zip"

    def __init__(self, path: str):
        self._path = path
        try:
            self._zip = open_zip(path)
        except Exception as error:  # on damaged files, zipfile raises almost anything
            raise UserError(
                f"data={path}: cannot read the zip file: {error}"
            ) from error
        members = {member.filename: member for member in self._zip.infolist()}
        self._members = [members[name] for name in _image_names(members)]
        self.identity = digest(*((m.CRC, m.file_size) for m in self._members))

    def __len__(self) -> int:
        return len(self._members)

    def items(self, start: int, stop: int) -> Iterator[Item]:
        for member in self._members[start:stop]:
            name = f"{self._path}:{member.filename}"
            yield Item(name, partial(self._read, member))

    def _read(self, member: zipfile.ZipInfo) -> bytes:
        try:
            with self._zip.open(member) as stream:
                return read_at_most(stream, MAX_FILE_BYTES)
        except Exception as error:  # on damaged data, codecs raise almost anything
            raise BadImage(f"cannot unzip the file: {error}") from error


def digest(*parts: object) -> str:
    """Return the SHA-256 of the text of the parts."""
    lines = "\n".join(map(str, parts))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _digest_item(item: Item) -> str:
    try:
        data = item.load()
    except BadImage:
        return _UNREADABLE
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    return digest(data.shape, hashlib.sha256(data.tobytes()).hexdigest())


def _walk(directory: str) -> Iterator[str]:
    """Yield the relative paths of files, and of directories with a slash at the end.

    Enters each directory once. Follows links to directories last, sorted by path, so
    that the result does not depend on the order in which the system lists files.
    """
    links, visited = [""], set()
    while links:
        relative = heapq.heappop(links)
        pending = [(relative, os.path.realpath(os.path.join(directory, relative)))]
        while pending:
            relative, real_path = pending.pop()
            if real_path in visited:
                continue
            visited.add(real_path)
            with os.scandir(os.path.join(directory, relative)) as entries:
                for entry in entries:
                    name = relative + entry.name
                    if is_hidden(entry.name):
                        continue
                    if not _is_directory(entry):
                        yield name
                        continue
                    yield f"{name}/"
                    if not entry.is_symlink():
                        pending.append((f"{name}/", f"{real_path}/{entry.name}"))
                    elif not _is_inside(real_path, os.path.realpath(entry.path)):
                        heapq.heappush(links, f"{name}/")


def _is_directory(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that cannot be followed
        return False


def _is_inside(path: str, directory: str) -> bool:
    return os.path.join(path, "").startswith(os.path.join(directory, ""))


def _image_names(paths: Iterable[str]) -> list[str]:
    """Return the image files among the relative paths in a directory or zip file.

    Sorts them in natural order. Leaves out hidden files, and run directories because
    their sample grids are not data.
    """
    names = [path for path in paths if not any(map(is_hidden, path.split("/")))]
    flagged = {n.removesuffix("flags.cfg") for n in names if n.endswith("/flags.cfg")}
    runs = {p for n in names for p in _before(n, "(?<=/)checkpoints/") if p in flagged}
    images = (n for n in names if n.lower().endswith(EXTENSIONS))
    images = (n for n in images if runs.isdisjoint(_before(n, "(?<=/)")))
    return sorted(images, key=_natural_key)


def _before(name: str, pattern: str) -> Iterator[str]:
    return (name[: match.start()] for match in re.finditer(pattern, name))


def _natural_key(name: str) -> tuple[str, str]:
    """Return a key that sorts `2.png` before `10.png`."""

    def sortable(number: re.Match) -> str:
        digits = number[0].lstrip("0")
        return f"0{chr(len(digits))}{digits}"

    return re.sub("[0-9]+", sortable, name), name


def _read_file(path: str) -> bytes:
    try:
        return read_bytes(path, MAX_FILE_BYTES)
    except OSError as error:
        raise BadImage(error.strerror or str(error)) from error
