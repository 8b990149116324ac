"""Decode JPEG, PNG, WebP and BMP files to RGB pixels.

Decoding is strict. It rejects truncated files, wrong checksums, animations and images
of more than `MAX_PIXELS` pixels. Only PNG has checksums: in the other formats, a
flipped byte can decode to wrong pixels unnoticed.

Grayscale, palette and CMYK images are converted to RGB. Transparent images are blended
over white. 16-bit images keep the high byte. The EXIF orientation is applied.
"""

import contextlib
import io
import threading
from collections.abc import Iterator

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
# 192 MiB when decoded. Pillow itself warns above 89 million pixels.
MAX_PIXELS = 2**26
_MAX_SIDE = 2**16  # the limit of JPEG; Pillow needs extra memory per row
# An uncompressed image of MAX_PIXELS, with transparency and its header.
MAX_FILE_BYTES = 4 * MAX_PIXELS + 2**20
_PILLOW_BYTES = 22  # per pixel, to blend an image with transparency
_MAX_MEMORY = _PILLOW_BYTES * MAX_PIXELS  # of all images that are being decoded
_memory = threading.Condition()
_sizes: list[int] = []
# Each scan of a progressive JPEG can take as long to decode as an image. Encoders write
# about 10 scans.
_MAX_SCANS = 200


class BadImage(Exception):
    """An image that cannot be used. The message is the reason, without the name."""


def decode(data: bytes) -> np.ndarray:
    """Decode the content of an image file: RGB, uint8 (H, W, 3). Raise BadImage."""
    if not data:
        raise BadImage("the file is empty")
    is_jpeg = data.startswith(b"\xff\xd8\xff")
    try:
        return _decode_jpeg(data) if is_jpeg else _decode_with_pillow(data)
    except BadImage:
        raise
    except Image.UnidentifiedImageError as error:
        raise BadImage("not a JPEG, PNG, WebP or BMP image") from error
    except Exception as error:  # on damaged files, decoders raise almost anything
        raise BadImage(f"cannot decode the file: {error}") from error


def _decode_jpeg(data: bytes) -> np.ndarray:
    """Decode with libjpeg-turbo, with its warnings as errors. Pillow ignores them."""
    height, width, color_space, _ = simplejpeg.decode_jpeg_header(data)
    check_size(width, height)
    if data.count(b"\xff\xda") > _MAX_SCANS:
        raise BadImage(f"more than {_MAX_SCANS} scans")
    if color_space not in ("YCbCr", "Gray", "RGB"):
        return _decode_with_pillow(data)
    with _memory_for(3 * width * height):
        pixels = simplejpeg.decode_jpeg(data, strict=True)
    if b"Exif\0\0" not in data:
        return pixels
    exif = Image.open(io.BytesIO(data), formats=("JPEG",)).getexif()
    image = Image.fromarray(pixels)
    orientation = ExifTags.Base.Orientation
    image.getexif()[orientation] = exif.get(orientation, 1)
    ImageOps.exif_transpose(image, in_place=True)
    return np.asarray(image)


def _decode_with_pillow(data: bytes) -> np.ndarray:
    if _is_truncated(data):
        raise BadImage("the file is truncated")
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    check_size(*image.size)
    # Unlike `load`, `verify` compares the checksums of a PNG. Afterwards, the image
    # cannot be loaded.
    image.verify()
    with _memory_for(_PILLOW_BYTES * image.width * image.height):
        return _load_with_pillow(data)


def _load_with_pillow(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if getattr(image, "n_frames", 1) > 1:
        raise BadImage("the file is an animation")
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):
        if image.has_transparency_data:
            raise BadImage("16-bit grayscale with transparency is not supported")
        high_byte = np.asarray(image).astype(np.int32) >> 8
        return np.asarray(Image.fromarray(high_byte.astype(np.uint8)).convert("RGB"))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    return np.asarray(image.convert("RGB"))


@contextlib.contextmanager
def _memory_for(num_bytes: int) -> Iterator[None]:
    """Wait until the images that other threads decode leave enough memory."""
    with _memory:
        _memory.wait_for(lambda: sum(_sizes) + num_bytes <= _MAX_MEMORY)
        _sizes.append(num_bytes)
    try:
        yield
    finally:
        with _memory:
            _sizes.remove(num_bytes)
            _memory.notify_all()


def _is_truncated(data: bytes) -> bool:
    """Return True if the end of a PNG or WebP file is missing. Pillow ignores that."""
    if data.startswith(b"\x89PNG"):
        return b"\0\0\0\0IEND\xaeB`\x82" not in data
    if data.startswith(b"RIFF"):
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    return False


def check_size(width: int, height: int) -> None:
    """Raise BadImage if an image has too many pixels, or a side is too long."""
    if width * height > MAX_PIXELS:
        raise BadImage(f"{width}x{height} is more than {MAX_PIXELS} pixels")
    if max(width, height) > _MAX_SIDE:
        raise BadImage(f"{width}x{height} has a side of more than {_MAX_SIDE} pixels")
