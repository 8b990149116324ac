"""Our own records: images at the training size, on disk, reached at random.

A folder holds `manifest.json` and shards: uncompressed TFRecord files whose every
record is one image, uint8 (size, size, 3) in C order, and nothing else. All records are
equally long, so that image i of a shard begins at byte i * (image bytes + 16) + 12 and
is read by one call: no index, no decoder, no other package. TensorFlow reads them too:

    tf.data.TFRecordDataset(shard).map(lambda r: tf.io.decode_raw(r, tf.uint8))
"""

import os

import numpy as np
import tensorflow as tf

from lada_tf.data.source import ImageSource, as_tensor
from lada_tf.errors import UserError
from lada_tf.io import read_json, sha256

MANIFEST = "manifest.json"
FORMAT = "lada_tf records 1"
# A TFRecord: length and its checksum, the image, its checksum.
_HEADER, _FRAME = 12, 16


def record_bytes(image_size: int) -> int:
    """Bytes of one record in a shard."""
    return 3 * image_size**2 + _FRAME


def is_records(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, MANIFEST))


class RecordSource(ImageSource):
    """Images of a folder that `prepare_data` made.

    Shards are mapped, not read: what memory they take is the page cache's, which the
    system takes back when it needs to.

    Raises:
        UserError: the folder is not whole: the manifest or a shard is missing or has
            another size than the manifest says. (`verify` reads the checksums too.)
    """

    def __init__(self, folder: str):
        self.manifest = read_manifest(folder)
        self.image_size = self.manifest["image_size"]
        self.fingerprint = self.manifest["fingerprint"]
        shards = [shard for shard in self.manifest["shards"] if shard["count"]]
        ends = np.cumsum([shard["count"] for shard in shards])
        with tf.device("CPU:0"):
            self._starts = tf.constant(ends - [shard["count"] for shard in shards])
            self._ends = tf.constant(ends)
        self._shards = [
            _map(os.path.join(folder, shard["file"]), shard["count"], self.image_size)
            for shard in shards
        ]

    def __len__(self) -> int:
        return int(self._ends[-1])

    def gather(self, indices: tf.Tensor) -> tf.Tensor:
        shards = tf.searchsorted(self._ends, indices, side="right")
        within = indices - tf.gather(self._starts, shards)
        places = tf.dynamic_partition(
            tf.range(tf.size(indices)), shards, len(self._shards)
        )
        records = [
            tf.gather(shard, tf.gather(within, place))
            for shard, place in zip(self._shards, places, strict=True)
        ]
        joined = tf.dynamic_stitch(places, records)
        pixels = joined[:, _HEADER : _HEADER - _FRAME]
        return tf.reshape(pixels, (-1, self.image_size, self.image_size, 3))


def _map(path: str, count: int, image_size: int) -> tf.Tensor:
    """A shard's records in place: uint8 (count, bytes of a record)."""
    shape = (count, record_bytes(image_size))
    _check_size(path, count * record_bytes(image_size))
    # "c", copy on write: NumPy shares no read-only memory. Nothing is written.
    return as_tensor(np.memmap(path, np.uint8, "c", shape=shape))


def read_manifest(folder: str) -> dict:
    """The manifest of a finished folder of records."""
    path = os.path.join(folder, MANIFEST)
    manifest = read_json(path)
    if manifest.get("format") != FORMAT:
        raise UserError(f"{path} is no manifest of {FORMAT!r}: make the records anew")
    return manifest


def verify(folder: str) -> int:
    """Reads every shard of a folder of records and compares its SHA-256.

    Returns:
        The number of images.

    Raises:
        UserError: names the first shard that differs.
    """
    manifest = read_manifest(folder)
    for shard in manifest["shards"]:
        path = os.path.join(folder, shard["file"])
        _check_size(path, shard["count"] * record_bytes(manifest["image_size"]))
        if sha256(path) != shard["sha256"]:
            raise UserError(
                f"{path} differs from its checksum in {MANIFEST}: delete it, and the "
                f"manifest, and run prepare_data again"
            )
    return manifest["count"]


def _check_size(path: str, expected: int) -> None:
    try:
        size = os.path.getsize(path)
    except OSError as error:
        raise UserError(f"{path} is missing: run prepare_data again") from error
    if size != expected:
        raise UserError(
            f"{path} has {size} bytes where its manifest promises {expected}: delete "
            "the folder and run prepare_data again"
        )
