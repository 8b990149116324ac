"""Report whether generated images copy training images: figures, table and picture."""

import csv
import dataclasses
import io
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from lada_tf.data import ImageSource
from lada_tf.errors import UserError
from lada_tf.evaluation.copies import NEAR_COPY, Copies, Pixels, digest, find_copies
from lada_tf.evaluation.extract_features import Extractor, Features
from lada_tf.evaluation.image_sets import ImageSet
from lada_tf.evaluation.memorization import Nearest, authentic, c_t
from lada_tf.evaluation.statistics import split_rows
from lada_tf.io import write_atomically
from lada_tf.runtime import progress_bar
from lada_tf.sampling.grids import magnify, png_bytes, tile

NUM_CLOSEST = 24  # pairs in the picture and in the record
COLUMNS = 12  # pairs in a row of the picture
RULE = (
    f"The distance of a near copy to a training image is less than {NEAR_COPY} times "
    "the mean distance of that image to the 50 nearest other training images, as gray "
    "images of 8x8."
)


@dataclasses.dataclass(frozen=True, eq=False)
class Memorization:
    """Results of a `MemorizationTest`.

    Attributes:
        record: the figures, as JSON values.
        copies: the nearest training images by pixels.
        by_features: the nearest training images by features.
        authentic: bool (n,), whether each image is authentic. AuthPct is their share.
    """

    record: dict
    copies: Copies
    by_features: Nearest
    authentic: np.ndarray

    def csv(self) -> str:
        """Return a table with one line per generated image."""
        copies, by_features = self.copies, self.by_features
        kinds = np.where(copies.exact, "exact", np.where(copies.near, "near", ""))
        columns = {
            "image": range(len(kinds)),
            "nearest_by_pixels": copies.index,
            "rms": copies.rms.round(3),
            "mirrored": copies.mirrored.astype(int),
            "copy": kinds,
            "relative_distance": copies.relative.round(4),
            "nearest_by_features": by_features.index,
            "feature_distance": by_features.distance.round(5),
            "authentic": self.authentic.astype(int),
        }
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
        return stream.getvalue()


class MemorizationTest:
    """Compare generated images with all training images, during `evaluate`.

    `evaluate` takes the images from `watch`, and extracts features with `remember`.
    So the test needs no second pass over the images.

    Args:
        training: the images that the generator was trained on, 2 or more.
        held_out: images of the same kind that training did not see, for C_T, and to
            compare the number of near copies.
        picture: path of the `.png` that `report` writes.
        batch_size: training images per batch.

    Attributes:
        files: paths of the picture and of the `.csv` that `report` writes.

    Raises:
        UserError: too few images.
    """

    def __init__(
        self,
        training: ImageSource,
        held_out: ImageSource | None = None,
        picture: str = "memorization.png",
        batch_size: int = 64,
    ):
        self._training, self._held_out = training, held_out
        self._batch_size = batch_size
        self._known: dict[bytes, np.ndarray] = {}  # features by digest of the pixels
        self._pixels = Pixels(0)  # of the watched images
        self.files = picture, picture[: -len(".png")] + ".csv"
        for name, source in (("real", training), ("held_out", held_out)):
            if source and len(source) < 2:
                raise UserError(f"{name} has 1 image: at least 2 are needed")

    def remember(self, extractor: Extractor) -> Extractor:
        """Return an extractor that stores its features for the test."""
        return _Remembering(extractor, self._known)

    def watch(self, images: ImageSet) -> ImageSet:
        """Return the same images. The test stores the pixels of their batches.

        Raises:
            UserError: the training or held-out images have another size.
        """
        size = images.image_size
        for name, source in (("real", self._training), ("held_out", self._held_out)):
            if source and source.image_size != size:
                raise UserError(
                    f"{name} has images of {source.image_size}x{source.image_size}, "
                    f"but generated images are {size}x{size}: open it with "
                    f"image_size={size}"
                )

        def batches(num_images: int) -> Iterator[np.ndarray]:
            self._pixels = Pixels(num_images)
            for batch in images.batches(num_images):
                self._pixels.add(batch)
                yield batch

        return dataclasses.replace(images, batches=batches)

    def report(
        self, images: ImageSet, features: np.ndarray, extractor: Extractor
    ) -> dict:
        """Return the record of `find`, and write the picture and the table."""
        found = self.find(features, extractor)
        picture, table = self.files
        write_atomically(
            picture, png_bytes(draw_closest(found, images, self._training))
        )
        write_atomically(table, found.csv())
        return {**found.record, "picture": os.path.basename(picture)}

    def find(self, features: np.ndarray, extractor: Extractor) -> Memorization:
        """Compare the watched images, whose pool features are `features` (n, d)."""
        training, held_out = self._training, self._held_out
        real_pixels, real = self._collect(training, extractor, "training images")
        self._known.clear()
        copies, self._pixels = find_copies(self._pixels, real_pixels), Pixels(0)
        record: dict[str, Any] = {
            "num_generated": len(features),
            "training": training.fingerprint,
            "num_training": len(training),
            "features": extractor.identity,
            **copies.counts(),
        }
        if held_out:
            pixels, other = self._collect(held_out, extractor, "held-out images")
            record["held_out"] = {
                "source": held_out.fingerprint,
                "num_images": len(held_out),
                **find_copies(pixels, real_pixels).counts(),
            }
            del pixels
        del real_pixels
        is_authentic, by_features = authentic(real, features)
        record["AuthPct"] = 100 * float(is_authentic.mean())
        if held_out:
            record["C_T"] = c_t(real, other, features)
        record["near_copy"] = RULE
        closest = np.lexsort((copies.rms, copies.relative, ~copies.exact))[:NUM_CLOSEST]
        record["closest"] = [
            {
                "generated": int(i),
                "training": int(copies.index[i]),
                "rms": round(float(copies.rms[i]), 3),
                "mirrored": bool(copies.mirrored[i]),
            }
            for i in closest
        ]
        return Memorization(record, copies, by_features, is_authentic)

    def _collect(
        self, source: ImageSource, extractor: Extractor, label: str
    ) -> tuple[Pixels, np.ndarray]:
        """Return the pixels and the features, float32 (n, d), of a source."""
        pixels, features = Pixels(len(source)), np.zeros((0, 0), np.float32)
        with progress_bar(None, len(source), label) as bar:
            for part in split_rows(np.arange(len(source)), self._batch_size):
                batch = source.images(part)
                pixels.add(batch)
                pool = self._pool(batch, extractor)
                if not len(features):
                    features = np.empty((len(source), pool.shape[1]), np.float32)
                features[part] = pool
                bar.update(len(batch))
        return pixels, features

    def _pool(self, images: np.ndarray, extractor: Extractor) -> np.ndarray:
        digests = [digest(image) for image in images]
        if all(key in self._known for key in digests):
            return np.stack([self._known[key] for key in digests])
        return extractor(images).pool


class _Remembering(Extractor):
    """An extractor that adds the pool features of each image to a dictionary."""

    def __init__(self, extractor: Extractor, known: dict[bytes, np.ndarray]):
        self.label, self.identity = extractor.label, extractor.identity
        self._extractor, self._known = extractor, known

    def extract(self, images: np.ndarray) -> Features:
        features = self._extractor.extract(images)
        self._known.update(zip(map(digest, images), features.pool, strict=True))
        return features


def find_memorization(
    images: ImageSet,
    num_generated: int,
    extractor: Extractor,
    training: ImageSource,
    held_out: ImageSource | None = None,
    batch_size: int = 64,
) -> Memorization:
    """Compare generated images with all training images.

    Args:
        images: the generated images.
        num_generated: number of images to compare.
        extractor: the feature extractor.
        training: see `MemorizationTest`.
        held_out: see `MemorizationTest`.
        batch_size: see `MemorizationTest`.

    Raises:
        UserError: the sets have different sizes, or too few images.
    """
    test = MemorizationTest(training, held_out, batch_size=batch_size)
    parts = []
    with progress_bar(None, num_generated, "generated") as bar:
        for batch in test.watch(images).batches(num_generated):
            parts.append(extractor(batch).pool)
            bar.update(len(batch))
    features = np.concatenate(parts)
    del parts  # half of the memory
    return test.find(features, extractor)


def draw_closest(
    found: Memorization, images: ImageSet, training: ImageSource, side: int = 64
) -> np.ndarray:
    """Draw the closest pairs in columns of three images.

    These are the generated image, the nearest training image by pixels (mirrored if
    that is nearer), and the nearest training image by features.
    """
    index = np.array([pair["generated"] for pair in found.record["closest"]])
    by_pixels = training.images(found.copies.index[index])
    mirrored = found.copies.mirrored[index][:, None, None, None]
    by_pixels = np.where(mirrored, by_pixels[:, :, ::-1], by_pixels)
    by_features = training.images(found.by_features.index[index])
    columns = min(COLUMNS, len(index))
    kinds = np.stack([images.select(index), by_pixels, by_features])
    padding = [(0, 0), (0, -len(index) % columns), (0, 0), (0, 0), (0, 0)]
    kinds = np.pad(kinds, padding, constant_values=255)
    shape = kinds.shape[2:]
    rows = kinds.reshape(len(kinds), -1, columns, *shape).swapaxes(0, 1)
    return tile(magnify(rows.reshape(-1, *shape), side), columns, gap=2)
