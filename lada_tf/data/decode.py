"""From a file's bytes to RGB pixels, or to a reason why not.

Pillow decodes; the checks around it refuse what it would read silently wrong. Read as:
alpha and transparency: over white. 16 bits: the high byte. Grey, palette, CMYK:
converted to RGB. EXIF orientation: applied. Refused: animations, files that are cut off
or fail their checksums, images above `MAX_PIXELS`.
"""

import io
import zlib

import numpy as np
from PIL import Image, ImageOps

from lada_tf.data.reader import BadImage

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
# Below Pillow's own warning (89 million): 192 MB once decoded.
MAX_PIXELS = 2**26
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def decode(data: bytes) -> np.ndarray:
    """Decodes a JPEG, PNG, WebP or BMP file.

    Returns:
        uint8 (H, W, 3).

    Raises:
        BadImage: it cannot be read right.
    """
    if not data:
        raise BadImage("the file is empty")
    if data.startswith(_PNG_SIGNATURE):
        _check_png(data)
    elif data.startswith(b"RIFF"):
        _check_riff(data)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_header(image)
        return _rgb(image)
    except BadImage:
        raise
    except Image.UnidentifiedImageError as error:
        raise BadImage("not a JPEG, PNG, WebP or BMP image") from error
    except Exception as error:  # Pillow's plugins raise nearly anything on bad bytes
        raise BadImage(f"cannot be decoded: {error}") from error


def _check_header(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadImage(f"{width}x{height} is more than {MAX_PIXELS} pixels")
    if getattr(image, "n_frames", 1) > 1:
        raise BadImage("an animation, not one image")


def _rgb(image: Image.Image) -> np.ndarray:
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        high_byte = np.asarray(image).astype(np.int32) >> 8
        image = Image.fromarray(high_byte.astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def _check_png(data: bytes) -> None:
    """Walks the chunks: Pillow decodes pixels without looking at their checksums."""
    position, kind = len(_PNG_SIGNATURE), b""
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


def _check_riff(data: bytes) -> None:
    if int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise BadImage("cut off")
