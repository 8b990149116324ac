"""Read LMDBs, the format of LSUN, without the LMDB library.

The library maps the file, so a truncated or hostile one kills the process (SIGBUS).
This reader checks each number that it follows. A file is an array of pages: two meta
pages, of which the one with the newer transaction holds the root, branch pages with the
numbers of their children, leaf pages with keys and values, and overflow pages with long
values. All numbers are little-endian. `mdb.c` of the library defines the format.
"""

import bisect
import itertools
import os
import struct
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

from lada_tf.data.decoding import MAX_FILE_BYTES, BadImage
from lada_tf.data.readers import Item, Reader
from lada_tf.errors import UserError
from lada_tf.io import open_file

_MAGIC, _VERSION = 0xBEEFC0DE, 1
# Magic, version, page size; flags and root of the main database; transaction.
_META = struct.Struct("<16xII16xI48xH34xQ8xQ")
_PAGE = struct.Struct("<10xHH2x")  # flags, end of the offsets
_NODE = struct.Struct("<HHHH")  # low and high part of a number, flags, key length
_BRANCH, _LEAF = 1, 2  # flags of pages
_SEVERAL_VALUES = 4  # flag of a database
_OVERFLOW = 1  # flag of a node
_EMPTY = 2**64 - 1


class LmdbReader(Reader):
    """Encoded images that are the values of an LMDB, in order of their keys.

    LSUN is published in this format. TFDS cannot prepare LSUN with current TensorFlow.
    """

    kind = "lmdb"

    def __init__(self, path: str):
        self._path = path
        self._file = os.path.join(path, "data.mdb") if os.path.isdir(path) else path
        self.files = [self._file]
        try:
            with open_file(self._file) as file:
                self._page_bytes, root = _read_meta(file)
                # Page number of each leaf, and number of entries up to its end.
                self._leaves, counts = self._find_leaves(file, root)
        except (OSError, ValueError, struct.error) as error:
            raise UserError(f"data={path}: cannot read the LMDB: {error}") from error
        self._ends = list(itertools.accumulate(counts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def items(self, start: int, stop: int) -> Iterator[Item]:
        first = bisect.bisect_right(self._ends, start)
        begin = self._ends[first - 1] if first else 0
        with open_file(self._file) as file:
            entries = itertools.chain.from_iterable(
                self._entries(file, number) for number in self._leaves[first:]
            )
            for key, position, size in itertools.islice(
                entries, start - begin, stop - begin
            ):
                name = f"{self._path}:{key.decode(errors='replace')}"
                yield Item(name, partial(self._read, position, size))

    def _read(self, position: int, size: int) -> bytes:
        if size > MAX_FILE_BYTES:
            raise BadImage(f"has more than {MAX_FILE_BYTES} bytes")
        with open_file(self._file) as file:
            if position + size > os.fstat(file.fileno()).st_size:
                raise BadImage("the LMDB is truncated")
            file.seek(position)
            return file.read(size)

    def _find_leaves(self, file: BinaryIO, root: int) -> tuple[list[int], list[int]]:
        """Return the page numbers of the leaves in order, and their entry counts."""
        leaves, counts, seen = [], [], set()
        pending = [] if root == _EMPTY else [root]
        while pending:
            number = pending.pop()
            if number in seen:
                raise ValueError(f"page {number} occurs twice")
            seen.add(number)
            page, flags, offsets = self._read_page(file, number)
            if flags & _LEAF:
                leaves.append(number)
                counts.append(len(offsets))
                continue
            nodes = [_NODE.unpack_from(page, offset) for offset in reversed(offsets)]
            pending += [low | high << 16 | top << 32 for low, high, top, _ in nodes]
        return leaves, counts

    def _entries(self, file: BinaryIO, number: int) -> Iterator[tuple[bytes, int, int]]:
        """Yield (key, position of the value in the file, its size) of a leaf page."""
        try:
            page, _, offsets = self._read_page(file, number)
            for offset in offsets:
                low, high, flags, key_bytes = _NODE.unpack_from(page, offset)
                start = offset + _NODE.size + key_bytes
                if start > len(page):
                    raise ValueError(f"page {number} is damaged")
                size = low | high << 16
                position = number * self._page_bytes + start
                if flags & _OVERFLOW:
                    (first,) = struct.unpack_from("<Q", page, start)
                    position = first * self._page_bytes + _PAGE.size
                yield page[offset + _NODE.size : start], position, size
        except (OSError, ValueError, struct.error) as error:
            raise UserError(f"data={self._path}: damaged LMDB: {error}") from error

    def _read_page(
        self, file: BinaryIO, number: int
    ) -> tuple[bytes, int, tuple[int, ...]]:
        """Return a page, its flags and the offsets of its nodes."""
        position = number * self._page_bytes
        if position > os.fstat(file.fileno()).st_size - self._page_bytes:
            raise ValueError(f"page {number} is missing: the file is truncated")
        file.seek(position)
        page = file.read(self._page_bytes)
        flags, end = _PAGE.unpack_from(page)
        if flags & (_BRANCH | _LEAF) not in (_BRANCH, _LEAF) or end < _PAGE.size:
            raise ValueError(f"page {number} is damaged")
        count = (end - _PAGE.size) // 2
        return page, flags, struct.unpack_from(f"<{count}H", page, _PAGE.size)


def _read_meta(file: BinaryIO) -> tuple[int, int]:
    """Return the page size and the number of the root page."""
    metas, page_bytes = [], 0
    for _ in range(2):
        file.seek(page_bytes)
        *format, page_bytes, flags, root, transaction = _META.unpack(
            file.read(_META.size)
        )
        if format != [_MAGIC, _VERSION] or not 256 <= page_bytes <= 2**16:
            raise ValueError("not an LMDB of version 1")
        if flags & _SEVERAL_VALUES:
            raise ValueError("its keys have several values")
        metas.append((transaction, root))
    return page_bytes, max(metas)[1]
