import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from lada_tf.data import open_source
from lada_tf.data.decode import Scratch, decode, decode_all
from lada_tf.data.folder import FolderReader
from lada_tf.data.load import BadImages, load_into_memory
from lada_tf.data.reader import BadImage

SIZE = 24
FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP"}


def picture(seed: int = 0, mode: str = "RGB") -> Image.Image:
    """Smooth random colours, which JPEG keeps."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(coarse).resize((SIZE, SIZE)).convert(mode)


def encode(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


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
def test_jpeg_modes(mode):
    data = encode(picture(mode=mode), "JPEG", quality=95)
    decoded = decode(data)
    # Pillow is another wrapper of the same libjpeg-turbo arithmetic.
    np.testing.assert_array_equal(decoded, rgb(Image.open(io.BytesIO(data))))
    # Quality 95 moves smooth colours by a few levels; a lost channel by a hundred.
    error = decoded.astype(int) - rgb(picture(mode=mode))
    assert np.abs(error).mean() < 4


def test_progressive_jpeg():
    data = encode(picture(), "JPEG", progressive=True)
    np.testing.assert_array_equal(decode(data), rgb(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_alpha_is_laid_over_white(mode, format):
    image = picture(mode=mode)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    alpha = np.asarray(image.getchannel("A"))[..., np.newaxis] / 255
    colour = rgb(Image.merge("RGB", image.convert("RGBA").split()[:3]))
    expected = colour * alpha + 255 * (1 - alpha)
    # Pillow blends in 8-bit steps.
    error = decode(encode(image, format, **options)) - expected
    assert np.abs(error).max() <= 1


def test_palette_with_a_transparent_colour():
    image = Image.new("P", (SIZE, SIZE), 1)
    image.putpalette([0, 0, 0, 200, 30, 40])
    image.paste(0, (0, 0, SIZE // 2, SIZE))
    decoded = decode(encode(image, "PNG", transparency=0))
    assert decoded[0, 0].tolist() == [255, 255, 255]
    assert decoded[0, -1].tolist() == [200, 30, 40]


def test_16_bits_keep_the_high_byte():
    grey = np.arange(SIZE * SIZE, dtype=np.uint16).reshape(SIZE, SIZE) * 113
    decoded = decode(encode(Image.fromarray(grey), "PNG"))
    np.testing.assert_array_equal(decoded, np.stack([grey >> 8] * 3, axis=-1))

    colour = np.random.default_rng(0).integers(0, 2**16, (SIZE, SIZE, 3), np.uint16)
    rows = b"".join(b"\0" + row.tobytes() for row in colour.astype(">u2"))
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 16, 2, 0, 0, 0)
    data = png_chunks((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    np.testing.assert_array_equal(decode(data), colour >> 8)


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
    if orientation in (2, 4, 5, 7):  # mirrored as well
        expected = expected[:, ::-1]
    np.testing.assert_array_equal(decode(data), expected)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_animations_are_refused(format):
    data = encode(
        picture(0), format, save_all=True, append_images=[picture(1)], lossless=True
    )
    with pytest.raises(BadImage, match="animation"):
        decode(data)
    assert isinstance(next(decode_all([data])), BadImage)


def test_a_decompression_bomb_is_refused_before_it_is_decoded():
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
def test_what_is_no_image_is_refused(data):
    with pytest.raises(BadImage):
        decode(data)
    assert isinstance(next(decode_all([data])), BadImage)


def test_many_at_once_are_decoded_as_one_by_one():
    good = [encode(picture(i, mode), "PNG") for i in range(75) for mode in ("RGB", "L")]
    flipped = bytearray(good[0])
    flipped[len(flipped) // 2] ^= 1
    jpegs = [encode(picture(i), "JPEG") for i in range(2)]
    # More than one full batch of plain PNGs, the first of them with a bad one in it.
    files = [*good[:25], bytes(flipped), good[0][:-30], *jpegs, *good[25:]]
    for index, image in enumerate(decode_all(files)):
        if index in (25, 26):
            assert isinstance(image, BadImage)
        else:
            np.testing.assert_array_equal(image, decode(files[index]))


def test_an_image_lies_in_the_scratch_memory_until_the_next():
    scratch = Scratch()
    first, second = (encode(picture(i), "JPEG") for i in range(2))
    image = decode(first, scratch)
    np.testing.assert_array_equal(image, decode(first))
    decode(second, scratch)
    np.testing.assert_array_equal(image, decode(second))


def damaged_files() -> dict[str, tuple[bytes, np.ndarray | None]]:
    """Name -> (bytes, the pixels that are right, or None if no one can tell)."""
    files: dict[str, tuple[bytes, np.ndarray | None]] = {}
    rng = np.random.default_rng(0)
    for extension, format in FORMATS.items():
        whole = encode(picture(), format)
        right = decode(whole)
        lengths = {0, 1, 2, 3, 4, 8, 12, 16, 20, 25, 30, 33, 40, 54, 60, 100}
        lengths |= {len(whole) * i // 30 for i in range(1, 30)}
        lengths |= {len(whole) - i for i in (1, 2, 3, 4, 8, 12)}
        for length in sorted(n for n in lengths if n < len(whole)):
            files[f"cut{length:05d}.{extension}"] = whole[:length], right
        for number in range(40):
            flipped = bytearray(whole)
            flipped[rng.integers(len(whole))] ^= rng.integers(1, 256)
            # Of these formats only PNG has checksums.
            can_tell = right if format == "PNG" else None
            files[f"flipped{number:02d}.{extension}"] = bytes(flipped), can_tell
        for other in FORMATS:
            files[f"is_{extension}.{other}"] = whole, right
        files[f"text.{extension}"] = b"not an image", right
    return files


def test_damaged_files_are_read_right_or_reported_by_path(tmp_path):
    files = damaged_files()
    assert len(files) >= 300
    for name, (data, _) in files.items():
        (tmp_path / name).write_bytes(data)

    reader = FolderReader(str(tmp_path))
    bad_images = BadImages("skip")
    images = load_into_memory(reader, SIZE, "plain", bad_images)

    reported = {bad.name.rsplit("/", 1)[1]: bad.reason for bad in bad_images.met}
    read = [name for name in reader.names if name not in reported]
    assert len(images) == len(read)
    for name, image in zip(read, images, strict=True):
        right = files[name][1]
        if right is not None:
            np.testing.assert_array_equal(image, right, err_msg=name)
    # All that is whole was read, none that is cut off, and every reason is one line.
    assert sum(name.startswith("is_") for name in read) == len(FORMATS) ** 2
    assert not [name for name in read if name.startswith(("cut", "text"))]
    assert all(reason and "\n" not in reason for reason in reported.values())


def test_bad_images_by_policy(tmp_path, caplog):
    for number in range(5):
        picture(number).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"2\.png: the file is empty .*skip"):
        open_source(str(tmp_path), SIZE)
    source = open_source(str(tmp_path), SIZE, on_bad_image="skip")
    assert len(source) == 4
    assert "2.png" in caplog.text
    assert "left out 1 bad images of 5" in caplog.text
    for number in (0, 1, 3, 4):
        (tmp_path / f"{number}.png").write_bytes(b"")
    with pytest.raises(ValueError, match="none of its 5 images"):
        open_source(str(tmp_path), SIZE, on_bad_image="skip")
