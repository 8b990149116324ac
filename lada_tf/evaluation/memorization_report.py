"""Report whether generated images copy training images: figures, text and a picture."""

import csv
import dataclasses
import hashlib
import io
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from lada_tf.data import ImageSource
from lada_tf.errors import UserError
from lada_tf.evaluation.extract_features import Extractor, Features
from lada_tf.evaluation.image_sets import ImageSet
from lada_tf.evaluation.memorization import (
    NEAR_COPY,
    Nearest,
    authentic,
    c_t,
    distances_of_pairs,
    near_copies,
    nearest,
)
from lada_tf.evaluation.statistics import split_rows
from lada_tf.io import write_atomically
from lada_tf.runtime import progress_bar
from lada_tf.sampling.grids import magnify, png_bytes, tile

THUMBNAIL = 32  # side of the images that are compared by pixels
NUM_CLOSEST = 24  # pairs in the picture and in the record
COLUMNS = 12
RULE = (
    f"The distance of a near copy to a training image is less than {NEAR_COPY} times "
    "the mean distance of that image to the 50 nearest other training images, as gray "
    "images of 8x8."
)


@dataclasses.dataclass(frozen=True, eq=False)
class Copies:
    """The nearest training image of each image in pixels, mirrored or not.

    Attributes:
        index: int64 (n,), index of the training image.
        rms: float64 (n,), RMS difference of the pixels, of at most 32x32, in levels.
        mirrored: bool (n,), whether the mirrored training image is nearer.
        exact: bool (n,), whether all pixels are equal.
        near: bool (n,), whether it is a near copy, but no exact one.
        relative: float64 (n,), the distance that defines near copies, relative to that
            between training images.
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


@dataclasses.dataclass(frozen=True, eq=False)
class Memorization:
    """What a `MemorizationTest` found.

    Attributes:
        record: the figures, as JSON values.
        copies: the nearest training images in pixels.
        by_features: the nearest training images in the feature space.
        authentic: bool (n,), of which AuthPct is the share.
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


@dataclasses.dataclass(frozen=True, eq=False)
class _Side:
    """The parts of a set of images that the comparisons need."""

    features: np.ndarray  # float32 (n, d)
    thumbnails: np.ndarray  # uint8 (n, 32, 32, 3)
    digests: list[tuple[bytes, bytes]]  # of the pixels, and of the mirrored pixels


class MemorizationTest:
    """Compare generated images with all training images.

    Images whose features `evaluate` computes for its metrics are not extracted again.

    Args:
        training: the images that the generator was trained on, 2 or more.
        held_out: images of the same kind that it was not trained on, for C_T, and to
            compare the number of near copies.
        picture: path of the `.png` that `report` writes.
        batch_size: training images per batch.

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
        self._picture, self._batch_size = picture, batch_size
        self._known: dict[bytes, np.ndarray] = {}  # features by digest of the pixels
        self._pixels = _Pixels(0)
        for name, source in (("real", training), ("held_out", held_out)):
            if source and len(source) < 2:
                raise UserError(f"{name} has 1 image; at least 2 are needed")

    def remember(self, extractor: Extractor) -> Extractor:
        """Return the extractor. The test keeps features that it computes."""
        return _Remembering(extractor, self._known)

    def watch(self, images: ImageSet) -> ImageSet:
        """Return the images. The test looks at batches that are taken from them.

        Raises:
            UserError: training images have another size.
        """
        for name, source in (("real", self._training), ("held_out", self._held_out)):
            if source and source.image_size != images.image_size:
                raise UserError(
                    f"{name}: images are {source.image_size}x{source.image_size}, but "
                    f"generated images are {images.image_size}x{images.image_size}"
                )

        def batches(num_images: int) -> Iterator[np.ndarray]:
            self._pixels = _Pixels(num_images)
            for batch in images.batches(num_images):
                self._pixels.add(batch)
                yield batch

        return dataclasses.replace(images, batches=batches)

    def find(self, features: np.ndarray, extractor: Extractor) -> Memorization:
        """Compare the watched images, whose pool features are `features` (n, d)."""
        training, held_out = self._training, self._held_out
        real = self._collect(training, extractor, "training images")
        self._known.clear()
        generated, self._pixels = self._pixels.side(features), _Pixels(0)
        copies = _find_copies(generated, real)
        closest = np.lexsort((copies.rms, copies.relative, ~copies.exact))[:NUM_CLOSEST]
        record: dict[str, Any] = {
            "num_generated": len(features),
            "training": training.fingerprint,
            "num_training": len(training),
            "features": extractor.identity,
            **copies.counts(),
        }
        sets = [real.features, features]
        if held_out:
            other = self._collect(held_out, extractor, "held-out images")
            record["held_out"] = {
                "source": held_out.fingerprint,
                "num_images": len(held_out),
                **_find_copies(other, real).counts(),
            }
            sets.append(other.features)
            del other
        del real, generated  # the pixels are no longer needed
        is_authentic, by_features = authentic(*sets[:2])
        record["AuthPct"] = 100 * float(is_authentic.mean())
        if held_out:
            record["C_T"] = c_t(sets[0], sets[2], sets[1])
        record["near_copy"] = RULE
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

    def report(
        self, images: ImageSet, features: np.ndarray, extractor: Extractor
    ) -> dict:
        """Return the record of `find`, and write the picture of the closest pairs."""
        found = self.find(features, extractor)
        write_report(found, images, self._training, self._picture)
        return {**found.record, "picture": os.path.basename(self._picture)}

    def _collect(self, source: ImageSource, extractor: Extractor, label: str) -> _Side:
        pixels, features = _Pixels(len(source)), np.zeros((0, 0), np.float32)
        with progress_bar(None, len(source), label) as bar:
            for part in split_rows(np.arange(len(source)), self._batch_size):
                batch = source.images(part)
                pixels.add(batch)
                pool = self._pool(batch, extractor)
                if not len(features):
                    features = np.empty((len(source), pool.shape[1]), np.float32)
                features[part] = pool
                bar.update(len(batch))
        return pixels.side(features)

    def _pool(self, images: np.ndarray, extractor: Extractor) -> np.ndarray:
        digests = [_digest(image) for image in images]
        if all(digest in self._known for digest in digests):
            return np.stack([self._known[digest] for digest in digests])
        return extractor(images).pool


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
        num_generated: how many of them to compare.
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

    They are the generated image, the nearest training image in pixels (mirrored if that
    is nearer), and the nearest one in the feature space.
    """
    index = np.array([pair["generated"] for pair in found.record["closest"]])
    by_pixels = training.images(found.copies.index[index])
    mirrored = found.copies.mirrored[index][:, None, None, None]
    by_pixels = np.where(mirrored, by_pixels[:, :, ::-1], by_pixels)
    by_features = training.images(found.by_features.index[index])
    rows: list[np.ndarray] = []
    for start in range(0, len(index), COLUMNS):
        part = slice(start, start + COLUMNS)
        for kind in (images.select(index[part]), by_pixels[part], by_features[part]):
            blank = np.full((COLUMNS - len(kind), *kind.shape[1:]), 255, np.uint8)
            rows += [kind, blank] if len(index) > COLUMNS else [kind]
    columns = min(COLUMNS, len(index))
    return tile(magnify(np.concatenate(rows), side), columns, gap=2)


def write_report(
    found: Memorization, images: ImageSet, training: ImageSource, picture: str
) -> None:
    """Write the closest pairs as a `.png`, and all images as a `.csv` next to it."""
    write_atomically(picture, png_bytes(draw_closest(found, images, training)))
    write_atomically(picture[: -len(".png")] + ".csv", found.csv())


def format_memorization(record: dict) -> str:
    """Return the text of a record of `MemorizationTest`."""
    held_out = record.get("held_out")
    lines = [
        f"{record['num_generated']:,} generated images against "
        f"{record['num_training']:,} training images:",
        f"- Exact copies: {_count(record, 'exact_copies')}",
        f"- Near copies: {_count(record, 'near_copies')}"
        + (
            f" (of {held_out['num_images']:,} held-out images: "
            f"{held_out['near_copies']:,})"
            if held_out
            else ""
        ),
        f"- Mirrored, of these: {record['mirrored_copies']:,}",
        f"- AuthPct: {record['AuthPct']:.2f} % are farther from their nearest training "
        "image than that one is from its own nearest.",
    ]
    if held_out:
        value = record["C_T"]
        lines.append(
            "- C_T: not computed, since no cell has 20 held-out and generated images."
            if value is None
            else f"- C_T: {value:.2f}. Near 0, both sets are equally far "
            "from the training images. Below -3 is a sign of copies."
        )
    if held_out and held_out["exact_copies"]:
        lines.append(
            f"- Warning: {held_out['exact_copies']:,} held-out images are training "
            "images."
        )
    return "\n".join(lines)


def _count(record: dict, name: str) -> str:
    return f"{record[name]:,}" if record[name] else "none found by this test"


def _find_copies(side: _Side, real: _Side) -> Copies:
    thumbnails, others = side.thumbnails, real.thumbnails
    mirrors = thumbnails[:, :, ::-1]
    straight = nearest(thumbnails, others, dtype=np.float32)
    flipped = nearest(mirrors, others, dtype=np.float32)
    mirrored = flipped.distance < straight.distance
    index = np.where(mirrored, flipped.index, straight.index)
    known: dict[bytes, int] = {}
    for number, (digest, _) in enumerate(real.digests):
        known.setdefault(digest, number)
    exact = np.zeros(len(index), bool)
    for number, digests in enumerate(side.digests):
        for is_mirror, digest in enumerate(digests):
            if digest in known and not exact[number]:
                exact[number], mirrored[number] = True, bool(is_mirror)
                index[number] = known[digest]
    turned = np.where(mirrored[:, None, None, None], mirrors, thumbnails)
    rms = distances_of_pairs(turned, others, index) / np.sqrt(others[0].size)
    near, relative = near_copies(turned, others, index)
    return Copies(index, rms, mirrored, exact, near & ~exact, relative)


class _Remembering(Extractor):
    """An extractor that adds the pool features of each image to a dictionary."""

    def __init__(self, extractor: Extractor, known: dict[bytes, np.ndarray]):
        self.label, self.identity = extractor.label, extractor.identity
        self._extractor, self._known = extractor, known

    def extract(self, images: np.ndarray) -> Features:
        features = self._extractor.extract(images)
        self._known.update(zip(map(_digest, images), features.pool, strict=True))
        return features


class _Pixels:
    """Thumbnails and digests of images that arrive in batches."""

    def __init__(self, count: int) -> None:
        self.digests: list[tuple[bytes, bytes]] = []
        self._thumbnails = np.empty((count, THUMBNAIL, THUMBNAIL, 3), np.uint8)

    def add(self, images: np.ndarray) -> None:
        for image in images:
            self._thumbnails[len(self.digests)] = _thumbnail(image)
            self.digests.append((_digest(image), _digest(image[:, ::-1])))

    def side(self, features: np.ndarray) -> _Side:
        return _Side(features, self._thumbnails, self.digests)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    if image.shape[0] == THUMBNAIL:
        return image
    bilinear = Image.Resampling.BILINEAR  # symmetric, unlike BOX
    return np.asarray(Image.fromarray(image).resize((THUMBNAIL, THUMBNAIL), bilinear))


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()
