"""From a spec to the reader of what it names."""

import os

from lada_tf.data.arrays import is_numpy, read_numpy, read_portraits
from lada_tf.data.folder import FolderReader, ZipReader, is_zip
from lada_tf.data.idx import is_idx, read_fashion_mnist, read_idx
from lada_tf.data.lsun import LmdbReader, is_lmdb
from lada_tf.data.reader import Reader
from lada_tf.data.tfds import TfdsReader
from lada_tf.errors import UserError

# The first that fits reads it.
_KINDS = (
    (is_lmdb, LmdbReader),
    (os.path.isdir, FolderReader),
    (is_zip, ZipReader),
    (is_numpy, read_numpy),
    (is_idx, read_idx),
)


def open_reader(spec: str, *, download: bool = False) -> Reader:
    """The reader of what `open_source` describes, our own records excepted.

    Raises:
        UserError: there is nothing, it is of no known kind, or it holds no image.
    """
    reader = _open(spec, download)
    if not len(reader):
        raise UserError(f"{spec} holds no image")
    return reader


def _open(spec: str, download: bool) -> Reader:
    name, _, rest = spec.partition(":")
    if spec == "portraits":
        return read_portraits()
    if name == "fashion_mnist":
        return read_fashion_mnist(rest or "train")
    if name == "tfds":
        dataset, _, split = rest.partition(":")
        return TfdsReader(dataset, split or "train", download)
    path = os.path.expanduser(spec)
    if not os.path.exists(path):
        raise UserError(
            f"no data at {spec!r}: give portraits, fashion_mnist, tfds:NAME or a path"
        )
    for fits, read in _KINDS:
        if fits(path):
            return read(path)
    raise UserError(
        f"{spec} is of no kind that is read: a folder, .zip, .npy, .npz, LMDB or IDX"
    )
