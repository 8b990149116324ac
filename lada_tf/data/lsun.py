"""LSUN as published: an LMDB whose every value is an encoded image.

TFDS cannot prepare LSUN with current TensorFlow; the `lmdb` package reads the files
that LSUN's own script downloads.
"""

import hashlib
import os
from collections.abc import Iterator
from functools import partial

from lada_tf.data.reader import BadImage, Item, Reader
from lada_tf.errors import UserError

# One key in so many is kept: reading can begin anywhere, without 3 million in memory.
_LANDMARK = 1024


class LmdbReader(Reader):
    """All values of an LMDB environment, in the order of their keys.

    The identity is that of the keys.
    """

    kind = "lmdb"

    def __init__(self, path: str):
        try:
            import lmdb
        except ImportError as error:
            raise UserError(
                f"{path} is an LMDB: `pip install lada_tf[lmdb]` to read it"
            ) from error
        self._path = path
        try:
            folder = os.path.isdir(path)
            self._environment = lmdb.open(
                path, subdir=folder, readonly=True, lock=False
            )
            self._read_keys()
        except lmdb.Error as error:
            raise UserError(f"{path} cannot be read as an LMDB: {error}") from error

    def _read_keys(self) -> None:
        self._landmarks, self._count = [], 0
        sha = hashlib.sha256()
        with self._environment.begin() as transaction:
            for key in transaction.cursor().iternext(values=False):
                if self._count % _LANDMARK == 0:
                    self._landmarks.append(key)
                sha.update(len(key).to_bytes(4, "big") + key)
                self._count += 1
        self.identity = sha.hexdigest()

    def __len__(self) -> int:
        return self._count

    def items(self, start: int, stop: int) -> Iterator[Item]:
        if start >= stop:
            return
        number = start - start % _LANDMARK
        with self._environment.begin() as transaction:
            cursor = transaction.cursor()
            cursor.set_key(self._landmarks[start // _LANDMARK])
            for key in cursor.iternext(values=False):
                if number >= stop:
                    return
                if number >= start:
                    name = f"{self._path}:{key.decode(errors='replace')}"
                    yield Item(name, partial(self._read, key))
                number += 1

    def _read(self, key: bytes) -> bytes:
        with self._environment.begin() as transaction:
            value = transaction.get(key)
        if value is None:
            raise BadImage("its key has gone")
        return value


def is_lmdb(path: str) -> bool:
    return os.path.isfile(os.path.join(path, "data.mdb")) or path.endswith(".mdb")
