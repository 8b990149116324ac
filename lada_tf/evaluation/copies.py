"""Find copies of training images by their pixels, mirrored or not.

An exact copy has the pixels of a training image. A near copy looks like one: its
distance to the nearest training image is less than `NEAR_COPY` times the mean distance
of that image to its `NEIGHBORS` nearest other training images, as in Carlini et al.
(2023, arXiv:2301.13188). This distance is that of gray images of 8x8: noise and
compression change single pixels and colors more than averages.
"""

import dataclasses
import hashlib

import numpy as np
from PIL import Image

from lada_tf.evaluation.memorization import distances_of_pairs, nearest
from lada_tf.evaluation.statistics import BLOCK_ROWS, split_rows

NEAR_COPY = 0.2
NEIGHBORS = 50
GRAY_SIDE = 8
THUMBNAIL = 32  # side of the images whose nearest training image is searched


@dataclasses.dataclass(frozen=True, eq=False)
class Copies:
    """The nearest training image of each image by pixels, mirrored or not.

    Attributes:
        index: int64 (n,), index of the training image.
        rms: float64 (n,), RMS difference of the thumbnails of 32x32, in levels.
        mirrored: bool (n,), whether the mirrored training image is nearer.
        exact: bool (n,), whether all pixels are equal.
        near: bool (n,), whether the image is a near copy, but not an exact one.
        relative: float64 (n,), the distance that is below `NEAR_COPY` for near copies.
    """

    index: np.ndarray
    rms: np.ndarray
    mirrored: np.ndarray
    exact: np.ndarray
    near: np.ndarray
    relative: np.ndarray

    def counts(self) -> dict[str, int]:
        """Return the numbers of copies, as JSON values."""
        copies = self.exact | self.near
        return {
            "exact_copies": int(self.exact.sum()),
            "near_copies": int(self.near.sum()),
            "mirrored_copies": int((copies & self.mirrored).sum()),
        }


class Pixels:
    """Thumbnails and digests of images that arrive in batches.

    Attributes:
        thumbnails: uint8 (count, 32, 32, 3).
        digests: the digest of each image, and of its mirror image.
    """

    def __init__(self, count: int) -> None:
        self.thumbnails = np.empty((count, THUMBNAIL, THUMBNAIL, 3), np.uint8)
        self.digests: list[tuple[bytes, bytes]] = []

    def add(self, images: np.ndarray) -> None:
        """Add a batch of images, uint8 (n, H, W, 3)."""
        for image in images:
            self.thumbnails[len(self.digests)] = _thumbnail(image)
            self.digests.append((digest(image), digest(image[:, ::-1])))


def digest(image: np.ndarray) -> bytes:
    """Return a checksum of the pixels."""
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def find_copies(images: Pixels, real: Pixels) -> Copies:
    """Compare images with all training images, `real`."""
    thumbnails, others = images.thumbnails, real.thumbnails
    mirrors = thumbnails[:, :, ::-1]
    straight = nearest(thumbnails, others, dtype=np.float32)
    flipped = nearest(mirrors, others, dtype=np.float32)
    mirrored = flipped.distance < straight.distance
    index = np.where(mirrored, flipped.index, straight.index)
    known: dict[bytes, int] = {}
    for number, (own_digest, _) in enumerate(real.digests):
        known.setdefault(own_digest, number)
    exact = np.zeros(len(index), bool)
    for number, digests in enumerate(images.digests):
        for is_mirror, either in enumerate(digests):
            if either in known and not exact[number]:
                exact[number], mirrored[number] = True, bool(is_mirror)
                index[number] = known[either]
    turned = np.where(mirrored[:, None, None, None], mirrors, thumbnails)
    rms = distances_of_pairs(turned, others, index) / np.sqrt(others[0].size)
    relative = _relative_distances(turned, others, index)
    near = (relative < NEAR_COPY) & ~exact
    return Copies(index, rms, mirrored, exact, near, relative)


def _relative_distances(
    images: np.ndarray, real: np.ndarray, index: np.ndarray
) -> np.ndarray:
    """Return the gray distance of each image to its training image, `real[index]`.

    It is divided by the mean distance of this training image to its neighbors.
    """
    gray, gray_real = _gray(images), _gray(real)
    used, position = np.unique(index, return_inverse=True)
    scale = _mean_distance_to_neighbors(gray_real, used)[position]
    distance = distances_of_pairs(gray, gray_real, index)
    # An equal image is a copy even if all neighbors are equal too.
    return np.divide(
        distance, scale, out=np.where(distance > 0, np.inf, 0.0), where=scale > 0
    )


def _mean_distance_to_neighbors(gray: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the mean distance of the rows to their nearest others, mirrored or not."""
    gray = gray.astype(np.float32)
    flat, flipped = (x.reshape(len(gray), -1) for x in (gray, gray[:, :, ::-1]))
    norms = np.einsum("nd,nd->n", flat, flat)
    count = min(NEIGHBORS, len(gray) - 1)
    means = []
    for part in split_rows(rows, BLOCK_ROWS // 16):  # whole rows of distances
        block = -2 * flat[part]
        distances = np.minimum(block @ flat.T, block @ flipped.T) + norms
        distances += norms[part, None]
        distances[np.arange(len(part)), part] = np.inf
        distances.partition(count - 1, axis=1)
        squares = np.maximum(distances[:, :count], 0)
        means.append(np.sqrt(squares).mean(axis=1))
    return np.concatenate(means).astype(np.float64)


def _gray(thumbnails: np.ndarray) -> np.ndarray:
    """Return the luma (n, 8, 8) of thumbnails: each value is the mean of a block."""
    block = THUMBNAIL // GRAY_SIDE
    parts = []
    for part in split_rows(thumbnails, BLOCK_ROWS):
        luma = part @ np.array([0.299, 0.587, 0.114], np.float32)
        blocks = luma.reshape(-1, GRAY_SIDE, block, GRAY_SIDE, block)
        parts.append(blocks.mean(axis=(2, 4)))
    return np.concatenate(parts)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    if image.shape[0] == THUMBNAIL:
        return image
    bilinear = Image.Resampling.BILINEAR  # symmetric, unlike BOX
    return np.asarray(Image.fromarray(image).resize((THUMBNAIL, THUMBNAIL), bilinear))
