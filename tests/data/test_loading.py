import numpy as np
import pytest

from lada_tf.data import open_source
from lada_tf.data.decoding import decode
from lada_tf.data.loading import BadImages, load_into_memory
from lada_tf.data.readers import FolderReader
from tests.data.images import SIZE, encode, picture

FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP"}


def damaged_files() -> dict[str, tuple[bytes, np.ndarray | None]]:
    """Return name -> (content, right pixels, or None if damage can go unnoticed)."""
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
            # PNG is the only format with checksums.
            pixels = right if format == "PNG" else None
            files[f"flipped{number:02d}.{extension}"] = bytes(flipped), pixels
        for other in FORMATS:
            files[f"is_{extension}.{other}"] = whole, right
        files[f"text.{extension}"] = b"not an image", right
    return files


def test_damaged_files_are_read_correctly_or_reported_by_path(tmp_path):
    files = damaged_files()
    assert len(files) >= 300
    for name, (data, _) in files.items():
        (tmp_path / name).write_bytes(data)

    reader = FolderReader(str(tmp_path))
    bad_images = BadImages("skip")
    images = load_into_memory(reader, SIZE, "plain", bad_images)

    reported = {bad.name.rsplit("/", 1)[1]: bad.reason for bad in bad_images.skipped}
    read = [name for name in reader.names if name not in reported]
    assert len(images) == len(read)
    for name, image in zip(read, images, strict=True):
        right = files[name][1]
        if right is not None:
            np.testing.assert_array_equal(image, right, err_msg=name)
    # All intact files are read, no truncated file is, and each reason is one line.
    assert sum(name.startswith("is_") for name in read) == len(FORMATS) ** 2
    assert not [name for name in read if name.startswith(("cut", "text"))]
    assert all(reason and "\n" not in reason for reason in reported.values())


def test_on_bad_image(tmp_path, caplog):
    for number in range(5):
        picture(number).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"2\.png: the file is empty.*on_bad_image=skip"
    ):
        open_source(str(tmp_path), SIZE)
    source = open_source(str(tmp_path), SIZE, on_bad_image="skip")
    assert len(source) == 4
    assert "2.png" in caplog.text
    assert "skipped 1 of 5 images" in caplog.text
    for number in (0, 1, 3, 4):
        (tmp_path / f"{number}.png").write_bytes(b"")
    with pytest.raises(ValueError, match="none of 5 images"):
        open_source(str(tmp_path), SIZE, on_bad_image="skip")


@pytest.mark.parametrize("memory_limit", [0, 10**6])
def test_enlarged_images_are_counted(tmp_path, caplog, memory_limit):
    for number, size in enumerate((8, 12, 20, 11)):
        picture().resize((size, 30)).save(tmp_path / f"{number}.png")
    arguments = {"memory_limit": memory_limit, "cache_dir": str(tmp_path / "cache")}
    for _ in range(2):  # the second call may find records
        caplog.clear()
        assert len(open_source(str(tmp_path), 12, **arguments)) == 4
        assert "enlarged 2 of 4 images" in caplog.text
