"""Records: images at the training size on disk, with random access.

A directory of records contains `manifest.json` and shards. A shard is an uncompressed
TFRecord file in which each record is one image, uint8 (size, size, 3) in C order. All
records have the same length, so image i of a shard starts at byte
i * (image bytes + 16) + 12. Reading it needs no index and no decoder. TensorFlow can
read the shards too:

    tf.data.TFRecordDataset(shard).map(lambda r: tf.io.decode_raw(r, tf.uint8))
"""

import json
import os
import re

import numpy as np
import tensorflow as tf

from lada_tf.data.source import ImageSource, as_tensor
from lada_tf.errors import UserError
from lada_tf.io import (
    file_state,
    has_fields,
    read_cached,
    read_json,
    read_text,
    sha256,
    user_path,
    write_cached,
)
from lada_tf.runtime import progress_bar

MANIFEST = "manifest.json"
FORMAT = "lada_tf records 1"
_FAMILY = "lada_tf records "
_FIELDS = {
    "image_size": int,
    "resize": str,
    "fingerprint": str,
    "count": int,
    "shards": list,
}
_SHARD_FIELDS = {
    "file": str,
    "count": int,
    "sha256": str,
    "enlarged": int,
    "bad_images": list,
}
_FAILURE_FIELDS = {"name": str, "reason": str}
# A TFRecord is: length, checksum of the length, image, checksum of the image.
_HEADER_BYTES, _FOOTER_BYTES = 12, 4


def record_bytes(image_size: int) -> int:
    """Return the length of one record in bytes."""
    return _HEADER_BYTES + 3 * image_size**2 + _FOOTER_BYTES


class RecordSource(ImageSource):
    """Images in a directory of records.

    Memory-maps the shards, so the operating system can reclaim their memory. Compares
    their checksums, unless the files are as they were when an earlier call did so.

    Args:
        directory: path of the records.
        cache_dir: directory that says which files were checked. None is the default.
    """

    def __init__(self, directory: str, cache_dir: str | None = None):
        directory = user_path(directory)
        self.manifest = read_manifest(directory)
        _check_shards(directory, self.manifest, cache_dir)
        self.image_size = self.manifest["image_size"]
        self.resize = self.manifest["resize"]
        self.fingerprint = self.manifest["fingerprint"]
        shards = [shard for shard in self.manifest["shards"] if shard["count"]]
        counts = np.array([shard["count"] for shard in shards])
        ends = np.cumsum(counts)
        with tf.device("CPU:0"):
            self._starts = tf.constant(ends - counts)
            self._ends = tf.constant(ends)
        length = record_bytes(self.image_size)
        self._shards = []
        for shard in shards:
            path = os.path.join(directory, shard["file"])
            # Copy-on-write ("c"): NumPy cannot share read-only memory by DLPack.
            records = np.memmap(path, np.uint8, "c", shape=(shard["count"], length))
            self._shards.append(as_tensor(records))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def gather(self, indices: tf.Tensor) -> tf.Tensor:
        shards = tf.searchsorted(self._ends, indices, side="right")
        within = indices - tf.gather(self._starts, shards)
        positions = tf.dynamic_partition(
            tf.range(tf.size(indices)), shards, len(self._shards)
        )
        records = [
            tf.gather(shard, tf.gather(within, position))
            for shard, position in zip(self._shards, positions, strict=True)
        ]
        pixels = tf.dynamic_stitch(positions, records)[:, _HEADER_BYTES:-_FOOTER_BYTES]
        return tf.reshape(pixels, (-1, self.image_size, self.image_size, 3))


def is_records(directory: str) -> bool:
    """Return True if a manifest in the directory is ours, even if it is damaged.

    Other programs write files of this name too.
    """
    try:
        content = read_text(os.path.join(directory, MANIFEST))
    except (OSError, ValueError):
        return False
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError):
        return _FAMILY in content or any(
            name.endswith(".tfrecord") for name in os.listdir(directory)
        )
    return isinstance(manifest, dict) and str(manifest.get("format")).startswith(
        _FAMILY
    )


def read_manifest(directory: str) -> dict:
    """Return the manifest of a directory of finished records."""
    path = os.path.join(directory, MANIFEST)
    manifest = read_json(path)
    if manifest.get("format") != FORMAT:
        raise UserError(f"{path}: the format is not {FORMAT!r}. Prepare the data again")
    shards = check_shard_entries(path, manifest.get("shards"))
    if not has_fields(manifest, _FIELDS) or not (
        manifest["image_size"]
        and manifest["count"] == sum(shard["count"] for shard in shards) > 0
    ):
        raise _damaged(path)
    return manifest


def check_shard_entries(path: str, shards: object) -> list[dict]:
    """Return the list of shards of a manifest or progress file, if it is valid."""
    if not isinstance(shards, list) or not all(map(_is_shard, shards)):
        raise _damaged(path)
    if len({shard["file"] for shard in shards}) < len(shards):
        raise _damaged(path)
    return shards


def _is_shard(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and has_fields({"enlarged": 0, "bad_images": [], **entry}, _SHARD_FIELDS)
        # Not a path to another directory.
        and bool(re.fullmatch(r"images-\d+-of-\d+\.tfrecord", entry["file"], re.ASCII))
        and all(has_fields(f, _FAILURE_FIELDS) for f in entry.get("bad_images", []))
    )


def _damaged(path: str) -> UserError:
    return UserError(f"{path}: is damaged. Prepare the data again")


def verify(directory: str) -> int:
    """Return the number of images. Raise UserError if a checksum is wrong."""
    directory = user_path(directory)
    manifest = read_manifest(directory)
    for shard in manifest["shards"]:
        check_shard(directory, shard, manifest["image_size"])
    return manifest["count"]


def check_shard(directory: str, shard: dict, image_size: int) -> None:
    """Compare the size and the checksum of a shard. Raise UserError if one differs."""
    path = os.path.join(directory, shard["file"])
    _check_size(path, shard["count"] * record_bytes(image_size))
    if sha256(path) != shard["sha256"]:
        raise UserError(
            f"{path}: the checksum differs from {MANIFEST}. Delete the directory, "
            "then prepare the data again"
        )


def _check_shards(directory: str, manifest: dict, cache_dir: str | None) -> None:
    """Check all shards, unless no file changed since the last check."""
    names = [MANIFEST, *(shard["file"] for shard in manifest["shards"])]
    state = file_state(os.path.join(directory, name) for name in names)
    if state and read_cached(state, cache_dir):
        return
    with progress_bar(None, manifest["count"], "verifying") as bar:
        for shard in manifest["shards"]:
            check_shard(directory, shard, manifest["image_size"])
            bar.update(shard["count"])
    if state:
        write_cached(state, "verified", cache_dir)


def _check_size(path: str, expected: int) -> None:
    size = os.path.getsize(path) if os.path.exists(path) else "a missing file"
    if size != expected:
        raise UserError(
            f"{path}: expected {expected} bytes, found {size}. Delete the directory, "
            "then prepare the data again"
        )
