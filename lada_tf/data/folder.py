"""A folder of image files, searched recursively, and a zip of them."""

import os
import zipfile
from collections.abc import Iterator
from functools import partial

from lada_tf.data.decode import EXTENSIONS
from lada_tf.data.reader import BadImage, Item, Reader, digest, natural_key
from lada_tf.errors import UserError


class FolderReader(Reader):
    """JPEG, PNG, WebP and BMP files under `path`, in natural order of their paths.

    Chosen by extension, read by content. Hidden files are left out. The identity is
    that of the relative paths and file sizes: no file is opened for it.
    """

    kind = "folder"

    def __init__(self, path: str):
        self._path = path
        sizes = dict(_image_files(path))
        if not sizes:
            raise UserError(f"{path} holds no image ({', '.join(EXTENSIONS)})")
        self.names = sorted(sizes, key=natural_key)
        self.identity = digest(*((name, sizes[name]) for name in self.names))

    def __len__(self) -> int:
        return len(self.names)

    def items(self, start: int, stop: int) -> Iterator[Item]:
        for name in self.names[start:stop]:
            path = os.path.join(self._path, name)
            yield Item(path, partial(_read_file, path))


class ZipReader(Reader):
    """The image files of a zip, in natural order of their paths.

    The identity is that of the names and checksums in the zip's directory.
    """

    kind = "zip"

    def __init__(self, path: str):
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} cannot be read as a zip: {error}") from error
        members = [
            member
            for member in self._zip.infolist()
            if _is_image(os.path.basename(member.filename))
            and not member.filename.startswith("__MACOSX/")
        ]
        if not members:
            raise UserError(f"{path} holds no image ({', '.join(EXTENSIONS)})")
        self._members = sorted(members, key=lambda m: natural_key(m.filename))
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
        except Exception as error:  # a damaged member may raise from any codec
            raise BadImage(f"cannot be unzipped: {error}") from error


def is_zip(path: str) -> bool:
    return path.endswith(".zip")


def _image_files(folder: str) -> Iterator[tuple[str, int]]:
    """(path relative to `folder`, size in bytes) of each image file under it."""
    pending, seen = [""], set()
    while pending:
        inside = pending.pop()
        real = os.path.realpath(os.path.join(folder, inside))
        if real in seen:  # a link to a folder above
            continue
        seen.add(real)
        try:
            with os.scandir(os.path.join(folder, inside)) as entries:
                for entry in entries:
                    if _is_image(entry.name):
                        name = os.path.join(inside, entry.name)
                        yield name, entry.stat().st_size
                    elif entry.is_dir() and not entry.name.startswith("."):
                        pending.append(os.path.join(inside, entry.name))
        except OSError as error:
            raise UserError(f"{folder} cannot be read: {error}") from error


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def _read_file(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except OSError as error:
        raise BadImage(error.strerror or str(error)) from error
