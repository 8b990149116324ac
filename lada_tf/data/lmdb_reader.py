"""Images in an LMDB, the format in which LSUN is published."""

import importlib.util
import itertools
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from lada_tf.data.decoding import MAX_FILE_BYTES
from lada_tf.data.readers import Item, Reader
from lada_tf.errors import UserError
from lada_tf.io import open_file

_READ_LMDB = """
import itertools, lmdb, os, struct, sys
path, start, stop = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
lmdb_file = lmdb.open(path, subdir=os.path.isdir(path), readonly=True, lock=False)
with lmdb_file.begin(buffers=True) as transaction:
    count = str(transaction.stat()["entries"]).encode(), b""
    entries = itertools.islice(transaction.cursor(), start, stop)
    for key, value in itertools.chain([count], entries):
        sys.stdout.buffer.write(struct.pack("<II", len(key), len(value)))
        sys.stdout.buffer.write(key)
        sys.stdout.buffer.write(value)
"""


class LmdbReader(Reader):
    """Encoded images, which are the values of an LMDB, ordered by key.

    TFDS cannot prepare LSUN with current TensorFlow. A damaged file can kill the
    process that maps it, so a child process reads it.
    """

    kind = "lmdb"

    def __init__(self, path: str):
        if not importlib.util.find_spec("lmdb"):
            raise UserError(f"data={path}: LMDBs require `pip install 'lada_tf[lmdb]'`")
        self._path = path
        self.files = [os.path.join(path, "data.mdb") if os.path.isdir(path) else path]
        ((count, _),) = self._entries(0, 0)
        self._count = int(count)

    def __len__(self) -> int:
        return self._count

    def items(self, start: int, stop: int) -> Iterator[Item]:
        for key, value in itertools.islice(self._entries(start, stop), 1, None):
            name = f"{self._path}:{key.decode(errors='replace')}"
            yield Item(name, partial(bytes, value))

    def _entries(self, start: int, stop: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield the number of entries and b"", then the keys and values."""
        numbers = [f"{start}", f"{stop}"]
        # -P: import no modules from the current directory, which can hold the data.
        command = [sys.executable, "-P", "-c", _READ_LMDB, self._path, *numbers]
        missing = stop - start + 1
        try:
            with open_file(self.files[0]) as file:
                left = os.fstat(file.fileno()).st_size
            pipe = subprocess.PIPE
            with subprocess.Popen(command, stdout=pipe, stderr=pipe) as child:
                assert child.stdout is not None
                assert child.stderr is not None
                try:
                    while head := child.stdout.read(8):
                        key_bytes, value_bytes = struct.unpack("<II", head)
                        left -= key_bytes + value_bytes
                        if left < 0 or value_bytes > MAX_FILE_BYTES:
                            raise ValueError("its values overlap or are too large")
                        entry = child.stdout.read(key_bytes + value_bytes)
                        missing -= 1
                        yield entry[:key_bytes], entry[key_bytes:]
                    reason = child.stderr.read().decode().strip().split("\n")[-1]
                finally:
                    child.kill()
        except (OSError, ValueError, struct.error) as error:
            reason = str(error)
        if missing:
            raise UserError(
                f"data={self._path}: cannot read the LMDB: {reason or 'it is damaged'}"
            )
