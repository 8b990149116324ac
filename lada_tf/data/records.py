"""Our own records: images at the training size, on disk, reached at random.

A folder holds `manifest.json` and shards: uncompressed TFRecord files whose every
record is one image, uint8 (size, size, 3) in C order, and nothing else. All records are
equally long, so that image i of a shard begins at byte i * (image bytes + 16) + 12 and
is read by one call: no index, no decoder, no other package. TensorFlow reads them too:

    tf.data.TFRecordDataset(shard).map(lambda r: tf.io.decode_raw(r, tf.uint8))
"""

import os

import numpy as np

from lada_tf.data.files import read_json, sha256
from lada_tf.data.source import ImageSource
from lada_tf.errors import UserError

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

    Reads with `pread` and maps nothing: memory stays that of the batches. The page
    cache keeps what fits.

    Raises:
        UserError: the folder is not whole: the manifest or a shard is missing or has
            another size than the manifest says. (`verify` reads the checksums too.)
    """

    def __init__(self, folder: str):
        self.manifest = read_manifest(folder)
        self.image_size = self.manifest["image_size"]
        self.fingerprint = self.manifest["fingerprint"]
        self._paths = [os.path.join(folder, s["file"]) for s in self.manifest["shards"]]
        self._ends = np.cumsum([shard["count"] for shard in self.manifest["shards"]])
        self._files: dict[int, int] = {}
        for path, shard in zip(self._paths, self.manifest["shards"], strict=True):
            _check_size(path, shard["count"] * record_bytes(self.image_size))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def images(self, indices: np.ndarray) -> np.ndarray:
        size = self.image_size
        images = np.empty((len(indices), size, size, 3), np.uint8)
        shards = np.searchsorted(self._ends, indices, side="right")
        starts = self._ends - [s["count"] for s in self.manifest["shards"]]
        for image, index, shard in zip(images, indices, shards, strict=True):
            offset = int(index - starts[shard]) * record_bytes(size) + _HEADER
            read = os.preadv(self._file(shard), [image.data], offset)
            if read != image.nbytes:
                raise UserError(f"{self._paths[shard]} was cut off while in use")
        return images

    def _file(self, shard: int) -> int:
        if shard not in self._files:
            self._files[shard] = os.open(self._paths[shard], os.O_RDONLY)
        return self._files[shard]

    def __del__(self):
        for file in getattr(self, "_files", {}).values():
            os.close(file)


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
