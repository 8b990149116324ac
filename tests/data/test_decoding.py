import contextlib
import io
import struct
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from lada_tf.data import decoding
from lada_tf.data.decoding import BadImage, decode
from tests.data.images import SIZE, encode, picture


def rgb(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def png_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in chunks:
        parts += [struct.pack(">I", len(body)), kind, body]
        parts += [struct.pack(">I", zlib.crc32(kind + body))]
    return b"".join(parts)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P"])
@pytest.mark.parametrize("format", ["PNG", "BMP"])
def test_lossless_modes_keep_their_pixels(mode, format):
    image = picture(mode=mode)
    np.testing.assert_array_equal(decode(encode(image, format)), rgb(image))


def test_webp_lossless():
    image = picture()
    data = encode(image, "WEBP", lossless=True)
    np.testing.assert_array_equal(decode(data), rgb(image))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_modes(mode, progressive):
    data = encode(picture(mode=mode), "JPEG", quality=95, progressive=progressive)
    decoded = decode(data)
    # Pillow uses the same libjpeg-turbo arithmetic.
    np.testing.assert_array_equal(decoded, rgb(Image.open(io.BytesIO(data))))
    # Quality 95 changes smooth colors by a few levels. A lost channel would change
    # them by about 100.
    error = decoded.astype(int) - rgb(picture(mode=mode))
    assert np.abs(error).mean() < 4


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_alpha_is_blended_over_white(mode, format):
    image = picture(mode=mode)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    alpha = np.asarray(image.getchannel("A"))[..., np.newaxis] / 255
    color = rgb(Image.merge("RGB", image.convert("RGBA").split()[:3]))
    expected = color * alpha + 255 * (1 - alpha)
    # Pillow blends in 8-bit arithmetic.
    error = decode(encode(image, format, **options)) - expected
    assert np.abs(error).max() <= 1


def test_palette_with_a_transparent_color():
    image = Image.new("P", (SIZE, SIZE), 1)
    image.putpalette([0, 0, 0, 200, 30, 40])
    image.paste(0, (0, 0, SIZE // 2, SIZE))
    decoded = decode(encode(image, "PNG", transparency=0))
    assert decoded[0, 0].tolist() == [255, 255, 255]
    assert decoded[0, -1].tolist() == [200, 30, 40]


def test_16_bits_keep_the_high_byte():
    gray = np.arange(SIZE * SIZE, dtype=np.uint16).reshape(SIZE, SIZE) * 113
    decoded = decode(encode(Image.fromarray(gray), "PNG"))
    np.testing.assert_array_equal(decoded, np.stack([gray >> 8] * 3, axis=-1))

    color = np.random.default_rng(0).integers(0, 2**16, (SIZE, SIZE, 3), np.uint16)
    rows = b"".join(b"\0" + row.tobytes() for row in color.astype(">u2"))
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 16, 2, 0, 0, 0)
    data = png_chunks((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    np.testing.assert_array_equal(decode(data), color >> 8)


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = picture().crop((0, 0, SIZE, SIZE // 2))
    data = encode(image, format, exif=exif)
    plain = decode(encode(image, format))
    quarter_turns = {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}.get(orientation, 0)
    expected = np.rot90(plain, quarter_turns)
    if orientation in (2, 4, 5, 7):  # also mirrored
        expected = expected[:, ::-1]
    np.testing.assert_array_equal(decode(data), expected)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_animations_are_rejected(format):
    data = encode(
        picture(0), format, save_all=True, append_images=[picture(1)], lossless=True
    )
    with pytest.raises(BadImage, match="animation"):
        decode(data)


def test_a_decompression_bomb_is_rejected_before_decoding():
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(10**6))
    png = png_chunks((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    jpeg = bytearray(encode(picture(), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 60_000)
    for data in (png, bytes(jpeg)):
        with pytest.raises(BadImage, match=r"pixels|60000x60000|decompression bomb"):
            decode(data)


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"hello", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]
)
def test_other_files_are_rejected(data):
    with pytest.raises(BadImage):
        decode(data)


def gray_png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 1) * height))
    return png_chunks((b"IHDR", header), *chunks, (b"IDAT", rows), (b"IEND", b""))


@pytest.mark.parametrize(
    "chunk", [(b"zTXt", b"a\0\0"), (b"iCCP", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0")]
)
def test_bombs_in_the_metadata_of_a_png_need_little_memory(chunk):
    kind, start = chunk
    data = gray_png(8, 8, (kind, start + zlib.compress(bytes(2**26))))
    tracemalloc.start()
    with contextlib.suppress(BadImage):
        decode(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**24


def test_large_images_do_not_use_memory_at_the_same_time(monkeypatch):
    monkeypatch.setattr(decoding, "_MAX_MEMORY", 22 * 64 * 64)
    load, running, most = decoding._load_with_pillow, [], []

    def spy(data):
        running.append(data)
        most.append(len(running))
        time.sleep(0.01)
        running.pop()
        return load(data)

    monkeypatch.setattr(decoding, "_load_with_pillow", spy)
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(decode, 4 * [gray_png(64, 64)]))
        assert max(most) == 1
        assert len(images) == 4
        list(pool.map(decode, 8 * [gray_png(32, 32)]))
    assert max(most) > 1
    assert not decoding._sizes


@pytest.mark.parametrize("size", [(2**16 + 1, 1), (1, 2**16 + 1)])
def test_a_line_of_pixels_is_rejected(size):
    with pytest.raises(BadImage, match="side"):
        decode(gray_png(*size))


def test_a_jpeg_of_many_scans_is_rejected():
    """Each scan costs as much time as an image."""
    data = encode(picture(), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    decode(data)
    with pytest.raises(BadImage, match="scans"):
        decode(data[:-2] + 1000 * scan + data[-2:])
