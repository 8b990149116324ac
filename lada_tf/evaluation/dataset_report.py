"""Report what a dataset holds: sizes, damaged images and duplicates.

An exact duplicate has the same pixels as an earlier image. A near duplicate has a
similar perceptual hash (pHash) and similar gray pixels as an earlier image, mirrored or
not: it was resized, compressed, mirrored or made slightly brighter. Removing all
duplicates leaves one image of each.

All pairs are compared, in blocks of matmuls. For the 70,000 images of Fashion-MNIST,
this took 4.5 minutes on 2 busy cores. The hashes took most of this time.
"""

import collections
import dataclasses
import hashlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from lada_tf.data.decoding import BadImage
from lada_tf.data.loading import Failure, decode_item
from lada_tf.data.readers import Item, Reader
from lada_tf.data.resize import center_crop
from lada_tf.errors import UserError
from lada_tf.evaluation.statistics import split_rows
from lada_tf.io import write_atomically, write_json
from lada_tf.runtime import parallel_map, progress_bar
from lada_tf.sampling.grids import png_bytes, tile

HASH_BITS = 64
MAX_HASH_DISTANCE = 12  # bits; unrelated images differ in about 32
GRAY_SIDE = 16
MAX_RMS = 5  # difference of the gray pixels minus their mean, in levels of 255
MAX_BRIGHTNESS = 16  # difference of these means
BLOCK_ROWS = 2048
COMMON_SIZES = 10
TILE, COLUMNS, ROWS = 96, 12, 2  # side of an image in the picture, and their numbers
RULE = (
    f"Near duplicates, mirrored or not, differ in at most {MAX_HASH_DISTANCE} of "
    f"{HASH_BITS} bits of their pHash and by an RMS of at most {MAX_RMS} levels as "
    f"gray images of {GRAY_SIDE}x{GRAY_SIDE} without their mean brightness. Their mean "
    f"brightness differs by at most {MAX_BRIGHTNESS} levels."
)


@dataclasses.dataclass(frozen=True, eq=False)
class Scan:
    """Summaries of the usable images of a dataset, and its damaged images.

    Attributes:
        reader: the dataset.
        names: of the usable images.
        index: int64 (n,), their indices in the dataset.
        sizes: int64 (n, 2), width and height.
        digests: checksums of the pixels.
        hashes: bool (2, n, 64), perceptual hashes of the images and of their mirrors.
        gray: uint8 (n, 16, 16).
        failures: the damaged images.
    """

    reader: Reader
    names: list[str]
    index: np.ndarray
    sizes: np.ndarray
    digests: list[bytes]
    hashes: np.ndarray
    gray: np.ndarray
    failures: list[Failure]

    def image(self, number: int) -> np.ndarray:
        """Return a usable image, cropped and resized for the picture."""
        index = int(self.index[number])
        item = next(self.reader.items(index, index + 1))
        return center_crop(decode_item(item), TILE)


def scan(reader: Reader) -> Scan:
    """Read all images of a dataset once.

    Raises:
        UserError: no image is usable, or the library imagehash is missing.
    """
    try:
        import imagehash
    except ImportError as error:
        raise UserError(
            "report=True requires `pip install 'lada_tf[report]'`"
        ) from error

    def look(item: Item) -> Any:
        try:
            pixels = decode_item(item)
        except BadImage as error:
            return Failure(item.name, str(error))
        size = pixels.shape[1::-1]
        digest = hashlib.blake2b(str(size).encode() + pixels.tobytes(), digest_size=16)
        image = Image.fromarray(pixels).convert("L")
        mirror = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        hashes = [imagehash.phash(side).hash.ravel() for side in (image, mirror)]
        # Bilinear is symmetric, unlike the box filter.
        gray = image.resize((GRAY_SIDE, GRAY_SIDE), Image.Resampling.BILINEAR)
        return item.name, size, digest.digest(), hashes, np.asarray(gray)

    index, rows, failures = [], [], []
    looks = parallel_map(look, reader.items(0, len(reader)))
    for number, found in enumerate(progress_bar(looks, len(reader), "scanning")):
        if isinstance(found, Failure):
            failures.append(found)
        else:
            index.append(number)
            rows.append(found)
    if not rows:
        name, reason = failures[0]
        raise UserError(f"none of {len(reader)} images is usable. {name}: {reason}")
    names, sizes, digests, hashes, gray = zip(*rows, strict=True)
    return Scan(
        reader,
        list(names),
        np.array(index),
        np.array(sizes),
        list(digests),
        np.array(hashes).swapaxes(0, 1),
        np.array(gray),
        failures,
    )


def exact_duplicates(images: Scan, earlier: Scan | None = None) -> dict[int, int]:
    """Map each duplicate to the first image with the same pixels.

    This is an image before the duplicate or, if given, an image of the scan `earlier`.
    """
    first: dict[bytes, int] = {}
    for number, digest in enumerate(earlier.digests if earlier else ()):
        first.setdefault(digest, number)
    found = {}
    for number, digest in enumerate(images.digests):
        if digest in first:
            found[number] = first[digest]
        elif not earlier:
            first[digest] = number
    return found


def near_duplicates(images: Scan, earlier: Scan | None = None) -> dict[int, int]:
    """Map each near duplicate to the first similar image. See `exact_duplicates`.

    Exact duplicates are left out.
    """
    exact = exact_duplicates(images, earlier)
    rows = np.array([n for n in range(len(images.index)) if n not in exact], np.int64)
    others = earlier or images
    candidates = np.arange(len(others.index)) if earlier else rows
    found: dict[int, int] = {}
    for columns in split_rows(candidates, BLOCK_ROWS):  # in order
        rows = rows[~np.isin(rows, list(found))]
        for block in split_rows(rows, BLOCK_ROWS):
            if not earlier and block[-1] <= columns[0]:
                continue
            similar = _similar(images, block, others, columns)
            if not earlier:
                similar &= columns < block[:, None]
            for number in np.nonzero(similar.any(axis=1))[0]:
                match = int(columns[similar[number].argmax()])
                found[int(block[number])] = match
    return dict(sorted(found.items()))


def make_report(images: Scan, held_out: Scan | None = None) -> dict:
    """Return the report on a dataset, and on held-out images, as JSON values."""
    width, height = images.sizes.T
    sizes = collections.Counter(map(tuple, images.sizes.tolist()))
    common = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    report = {
        **_duplicates(images),
        "smallest_side": int(images.sizes.min()),
        "largest_side": int(images.sizes.max()),
        "num_sizes": len(sizes),
        "common_sizes": [
            {"width": w, "height": h, "images": n}
            for (w, h), n in common[:COMMON_SIZES]
        ],
        "square": int((width == height).sum()),
        "aspect_ratio": {
            name: round(float(np.quantile(width / height, q)), 4)
            for name, q in (("min", 0), ("median", 0.5), ("max", 1))
        },
        "rule": RULE,
    }
    if held_out:
        report["held_out"] = _duplicates(held_out, images)
    return report


def format_report(report: dict) -> str:
    """Return the text of a report."""
    ratio, common = report["aspect_ratio"], report["common_sizes"]
    lines = [
        f"Images: {report['images']:,}",
        *_format_duplicates(report),
        f"Sizes: {report['num_sizes']:,}, with sides of {report['smallest_side']} to "
        f"{report['largest_side']} pixels. Most common: "
        + ", ".join(
            f"{s['width']}x{s['height']} ({s['images']:,})" for s in common[:5]
        ),
        f"Aspect ratios: {ratio['min']:g} to {ratio['max']:g}, median "
        f"{ratio['median']:g}; {report['square']:,} images are square",
    ]
    if held_out := report.get("held_out"):
        lines += [
            f"Held-out images: {held_out['images']:,}",
            *(f"  {line}" for line in _format_duplicates(held_out)),
        ]
    return "\n".join([*lines, report["rule"]])


def draw_report(images: Scan, report: dict, held_out: Scan | None = None) -> np.ndarray:
    """Draw two rows of images, then duplicates, each below the image that it repeats.

    The order is: near duplicates, exact ones, and those of held-out images.
    """
    chosen = np.linspace(0, len(images.index) - 1, COLUMNS * ROWS).astype(int)
    rows = _row([images.image(number) for number in np.unique(chosen)])
    sides = [(images, report)]
    if held_out:
        sides.append((held_out, report["held_out"]))
    for side, part in sides:
        for kind in ("near_duplicates", "exact_duplicates"):
            pairs = part[kind][:COLUMNS]
            rows += _row([images.image(pair["first_index"]) for pair in pairs])
            rows += _row([side.image(pair["image_index"]) for pair in pairs])
    return tile(np.stack(rows), COLUMNS, gap=2)


def write_report(
    directory: str | os.PathLike, images: Scan, held_out: Scan | None = None
) -> dict:
    """Write report.txt, report.json and report.png to a directory. Return the report.

    Files of these names are replaced.
    """
    report = make_report(images, held_out)
    os.makedirs(directory, exist_ok=True)
    base = os.path.join(directory, "report")
    write_json(f"{base}.json", report)
    write_atomically(f"{base}.txt", format_report(report) + "\n")
    write_atomically(f"{base}.png", png_bytes(draw_report(images, report, held_out)))
    return report


def _duplicates(images: Scan, earlier: Scan | None = None) -> dict:
    """Return the counts and pairs of a report. Pairs name the duplicate first."""
    others = earlier or images

    def pairs(found: dict[int, int]) -> list[dict]:
        return [
            {
                "image": images.names[number],
                "first": others.names[first],
                "image_index": number,
                "first_index": first,
            }
            for number, first in found.items()
        ]

    exact = pairs(exact_duplicates(images, earlier))
    near = pairs(near_duplicates(images, earlier))
    return {
        "images": len(images.index),
        "num_damaged": len(images.failures),
        "num_exact_duplicates": len(exact),
        "num_near_duplicates": len(near),
        "damaged": [failure._asdict() for failure in images.failures],
        "exact_duplicates": exact,
        "near_duplicates": near,
    }


def _format_duplicates(part: dict) -> Iterator[str]:
    for kind in ("damaged", "exact_duplicates", "near_duplicates"):
        count = part[f"num_{kind}"]
        where = " (listed in report.json)" if count else ""
        text = f"{count:,}" if count else "none found"
        yield f"{kind.replace('_', ' ').capitalize()}: {text}{where}"


def _similar(
    images: Scan, rows: np.ndarray, others: Scan, columns: np.ndarray
) -> np.ndarray:
    """Return whether images are near duplicates of others, bool (rows, columns)."""
    gray, other_gray = (
        x[part].astype(np.float32)
        for x, part in ((images.gray, rows), (others.gray, columns))
    )
    other_signs = np.where(others.hashes[0, columns], np.float32(1), np.float32(-1))
    similar = np.zeros((len(rows), len(columns)), bool)
    for hashes, pixels in zip(
        images.hashes[:, rows], (gray, gray[:, :, ::-1]), strict=True
    ):
        signs = np.where(hashes, np.float32(1), np.float32(-1))
        candidates = signs @ other_signs.T >= HASH_BITS - 2 * MAX_HASH_DISTANCE
        if candidates.any():
            similar |= candidates & _similar_pixels(pixels, other_gray)
    return similar


def _similar_pixels(gray: np.ndarray, others: np.ndarray) -> np.ndarray:
    flat, other_flat = (x.reshape(len(x), -1) for x in (gray, others))
    means, other_means = (x.mean(axis=1, keepdims=True) for x in (flat, other_flat))
    a, b = flat - means, other_flat - other_means
    squares = (a**2).mean(axis=1)[:, None] + (b**2).mean(axis=1)
    squares -= 2 * (a @ b.T) / a.shape[1]
    return (squares <= MAX_RMS**2) & (abs(means - other_means.T) <= MAX_BRIGHTNESS)


def _row(images: list[np.ndarray]) -> list[np.ndarray]:
    """Fill the last row with white images."""
    white = np.full((TILE, TILE, 3), 255, np.uint8)
    return images + [white] * (-len(images) % COLUMNS)
