"""From files' bytes to RGB pixels, or to a reason why not.

JPEG goes through libjpeg-turbo in its strict mode and plain PNG through TensorFlow;
Pillow reads all else. Each refuses what it cannot read right: files that are cut off or
fail their checksums (JPEG, WebP and BMP have none: a flipped byte in those may pass as
other pixels), animations, more than `MAX_PIXELS`.

What is read, and how: grey, palette and CMYK are converted to RGB; alpha and
transparency are laid over white; of 16 bits the high byte is kept; EXIF orientation is
applied.
"""

import io
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import simplejpeg
import tensorflow as tf
from PIL import ExifTags, Image, ImageOps

from lada_tf.data.reader import BadImage
from lada_tf.data.source import aligned_empty

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
# 192 MB once decoded, and below Pillow's own warning (89 million).
MAX_PIXELS = 2**26

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
# PNGs that TensorFlow decodes 64 at a time have at most so many pixels: 50 MB then.
_MAX_PLAIN_PIXELS = 2**18
_BATCH = 64


class Scratch:
    """Memory to decode into, used again and again: the pages of a new array for each
    image cost half as much time again as decoding a JPEG.
    """

    def __init__(self):
        self._memory = aligned_empty((0,))

    def empty(self, size: int) -> np.ndarray:
        """uint8 (size,), uninitialized; the one given before it is no longer valid."""
        if len(self._memory) < size:
            self._memory = aligned_empty((size,))
        return self._memory[:size]


def decode(data: bytes, scratch: Scratch | None = None) -> np.ndarray:
    """Decodes a JPEG, PNG, WebP or BMP file.

    Args:
        data: the file.
        scratch: where the pixels may lie, until it is used again.

    Returns:
        uint8 (H, W, 3).

    Raises:
        BadImage: it cannot be read right.
    """
    if not data:
        raise BadImage("the file is empty")
    try:
        if data.startswith(_JPEG):
            return _decode_jpeg(data, scratch or Scratch())
        if data.startswith(_PNG):
            _check_png(data)
        elif data.startswith(b"RIFF"):
            _check_riff(data)
        return _decode_with_pillow(data)
    except BadImage:
        raise
    except Image.UnidentifiedImageError as error:
        raise BadImage("not a JPEG, PNG, WebP or BMP image") from error
    except Exception as error:  # decoders raise nearly anything on bad bytes
        raise BadImage(f"cannot be decoded: {error}") from error


def decode_all(files: Sequence[bytes]) -> Iterator[np.ndarray | BadImage]:
    """`decode` of each file in turn, or the BadImage that it raised.

    An image's memory is used again for the next.
    """
    plain = [index for index, data in enumerate(files) if _is_plain_png(data)]
    images: dict[int, np.ndarray | None] = {}
    for start in range(0, len(plain), _BATCH):
        batch = plain[start : start + _BATCH]
        decoded = _decode_plain_pngs([files[index] for index in batch])
        images.update(zip(batch, decoded, strict=True))
    scratch = Scratch()
    for index, data in enumerate(files):
        image = images.pop(index, None)
        yield _decoded_or_bad(data, scratch) if image is None else image


def _decoded_or_bad(data: bytes, scratch: Scratch) -> np.ndarray | BadImage:
    try:
        return decode(data, scratch)
    except BadImage as bad:
        return bad


# PNG


def _is_plain_png(data: bytes) -> bool:
    """8-bit grey or RGB, small, nothing that changes how it looks."""
    if not data.startswith(_PNG) or data[12:16] != b"IHDR" or len(data) < 33:
        return False
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    eight_bits, grey_or_rgb = data[24] == 8, data[25] in (0, 2)
    small = 0 < width * height <= _MAX_PLAIN_PIXELS
    if not (eight_bits and grey_or_rgb and small):
        return False
    position, kind = 33, b"IHDR"
    while kind not in (b"IEND", b"", b"tRNS", b"acTL", b"eXIf"):
        kind = data[position + 4 : position + 8]
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return kind == b"IEND"


def _decode_plain_pngs(files: list[bytes]) -> Sequence[np.ndarray | None]:
    """At most `_BATCH` plain PNGs; None for all where one is bad.

    A full batch is one call. For small images this is over twice as fast as a call for
    each, on threads: most of the time is Python's, which only one thread can have.
    """
    try:
        if len(files) == _BATCH:
            images = _png_graph(tf.constant(files))
        else:
            images = [tf.io.decode_png(data, channels=3) for data in files]
    except tf.errors.InvalidArgumentError:
        return [None] * len(files)
    return [np.asarray(memoryview(image)) for image in images]  # not copied


@tf.function(input_signature=[tf.TensorSpec([_BATCH], tf.string)], autograph=False)
def _png_graph(files: tf.Tensor) -> list[tf.Tensor]:
    return [tf.io.decode_png(data, channels=3) for data in tf.unstack(files)]


def _check_png(data: bytes) -> None:
    """Walks the chunks: Pillow decodes pixels without looking at their checksums."""
    position, kind = len(_PNG), b""
    while kind != b"IEND":
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + 12 + length
        if end > len(data):
            raise BadImage("cut off")
        kind = data[position + 4 : position + 8]
        checksum = int.from_bytes(data[end - 4 : end], "big")
        if zlib.crc32(data[position + 4 : end - 4]) != checksum:
            raise BadImage(f"the checksum of PNG chunk {kind!r} is wrong")
        position = end


# JPEG


def _decode_jpeg(data: bytes, scratch: Scratch) -> np.ndarray:
    """Strict: what libjpeg calls a warning ("corrupt data") is an error here."""
    height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    _check_pixels(width, height)
    if colours not in ("YCbCr", "Gray", "RGB"):
        return _decode_with_pillow(data)
    buffer = scratch.empty(height * width * 3)
    pixels = simplejpeg.decode_jpeg(data, strict=True, buffer=buffer)
    if b"Exif\0\0" not in data:
        return pixels
    exif = Image.open(io.BytesIO(data), formats=("JPEG",)).getexif()
    upright = _UPRIGHT.get(exif.get(ExifTags.Base.Orientation, 1))
    if upright is None:
        return pixels
    return np.asarray(Image.fromarray(pixels).transpose(upright))


_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


# All else


def _decode_with_pillow(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    _check_pixels(*image.size)
    if getattr(image, "n_frames", 1) > 1:
        raise BadImage("an animation, not one image")
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):
        if image.has_transparency_data:
            raise BadImage("16-bit grey with transparency")
        high_byte = np.asarray(image).astype(np.int32) >> 8
        return np.asarray(Image.fromarray(high_byte.astype(np.uint8)).convert("RGB"))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BadImage(f"{width}x{height} is more than {MAX_PIXELS} pixels")


def _check_riff(data: bytes) -> None:
    if int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise BadImage("cut off")
