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
from collections.abc import Mapping

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
PROGRESS_FIELDS = {"format": str, "image_size": int, "resize": str, "shards": list}
FIELDS = {**PROGRESS_FIELDS, "fingerprint": str, "count": int}
_SHARD_FIELDS = {"file": str, "count": int, "sha256": str}
_SHARD_FIELDS |= {"enlarged": int, "bad_images": list}
_FAILURE_FIELDS = {"name": str, "reason": str}
# A TFRecord is: length, checksum of the length, image, checksum of the image.
_HEADER_BYTES, _FOOTER_BYTES = 12, 4


def record_bytes(image_size: int) -> int:
    """Return the length of one record in bytes."""
    return _HEADER_BYTES + 3 * image_size**2 + _FOOTER_BYTES


class RecordSource(ImageSource):
    """Images in a directory of records.

    Memory-maps the shards, so the operating system can reclaim their memory. Compares
    their checksums, unless an earlier call did and the files have not changed since.

    Args:
        directory: path of the records.
        cache_dir: directory that stores which files were checked. None is the default.
    """

    def __init__(self, directory: str, cache_dir: str | None = None):
        directory = user_path(directory)
        path = os.path.join(directory, MANIFEST)
        self.manifest = read_manifest(path)
        names = (shard["file"] for shard in self.manifest["shards"])
        state = file_state([path, *(os.path.join(directory, name) for name in names)])
        if not (state and read_cached(state, cache_dir)):
            verify(directory)
            if state:
                write_cached(state, "verified", cache_dir)
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


def read_manifest(path: str, fields: Mapping[str, type] = FIELDS) -> dict:
    """Return the content of `manifest.json` or, with fewer fields, `progress.json`."""
    manifest = read_json(path, fields)
    shards = manifest["shards"]
    valid = manifest["format"] == FORMAT and all(map(_is_shard, shards))
    if (
        not valid
        or len({shard["file"] for shard in shards}) < len(shards)
        or not manifest["image_size"]
        or (
            "count" in fields
            and not manifest["count"] == sum(shard["count"] for shard in shards) > 0
        )
    ):
        raise UserError(
            f"{path}: is damaged, or of another version of lada_tf. Delete the "
            "directory, then prepare the data again"
        )
    return manifest


def _is_shard(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and has_fields({"enlarged": 0, "bad_images": [], **entry}, _SHARD_FIELDS)
        # Not a path to another directory.
        and bool(re.fullmatch(r"images-\d+-of-\d+\.tfrecord", entry["file"], re.ASCII))
        and all(has_fields(f, _FAILURE_FIELDS) for f in entry.get("bad_images", []))
    )


def verify(directory: str) -> int:
    """Compare all checksums, and return the number of images.

    Raises:
        UserError: there are no finished records, or a checksum is wrong.
    """
    directory = user_path(directory)
    path = os.path.join(directory, MANIFEST)
    if not os.path.exists(path):
        raise UserError(
            f"{directory}: no finished records, because {MANIFEST} is missing. Run "
            "`lada-tf prepare_data` with this output to finish them"
        )
    manifest = read_manifest(path)
    with progress_bar(None, manifest["count"], "verifying") as bar:
        for shard in manifest["shards"]:
            check_shard(directory, shard, manifest["image_size"])
            bar.update(shard["count"])
    return manifest["count"]


def check_shard(directory: str, shard: dict, image_size: int) -> None:
    """Compare the size and the checksum of a shard. Raise UserError if one differs."""
    path = os.path.join(directory, shard["file"])
    expected = shard["count"] * record_bytes(image_size)
    size = os.path.getsize(path) if os.path.exists(path) else "a missing file"
    if size != expected:
        reason = f"expected {expected} bytes, found {size}"
    elif sha256(path) != shard["sha256"]:
        reason = f"the checksum differs from {MANIFEST}"
    else:
        return
    raise UserError(
        f"{path}: {reason}. Delete the directory, then prepare the data again"
    )
