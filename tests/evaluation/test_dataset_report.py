import io
import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("imagehash")

from lada_tf.data import arrays
from lada_tf.data.opening import open_reader
from lada_tf.errors import UserError
from lada_tf.evaluation import dataset_report
from lada_tf.evaluation.dataset_report import (
    format_report,
    make_report,
    near_duplicates,
    scan,
    write_report,
)
from tests.evaluation.test_memorization_report import jpeg, noisy, smooth


def reader(images):
    return arrays.ArrayReader("npy", "array", images)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(dataset_report, "BLOCK_ROWS", 16)


def save(directory, images, **more):
    directory.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(directory / f"{number:03}.png")
    for name, content in more.items():
        (directory / f"{name}.png").write_bytes(content)
    return open_reader(str(directory))


def variants(real):
    """Return near duplicates of five images."""
    return [
        jpeg(real[0]),
        noisy(real[1], 3),
        real[2, :, ::-1],
        np.clip(real[3] * 0.95 + 8, 0, 255).astype(np.uint8),
        np.asarray(Image.fromarray(real[4]).resize((50, 50), Image.Resampling.LANCZOS)),
    ]


def test_duplicates_and_damaged_images(tmp_path):
    real = smooth(0, 40, 64)
    images = [*real, *variants(real), real[7], real[7]]
    data = save(tmp_path / "train", images, a=b"", b=b"\x89PNG")
    report = make_report(scan(data))
    assert report["images"] == 47
    assert [f["name"][-5:] for f in report["damaged"]] == ["a.png", "b.png"]
    assert pairs(report["near_duplicates"]) == [(40 + i, i) for i in range(5)]
    assert pairs(report["exact_duplicates"]) == [(45, 7), (46, 7)]
    first = report["exact_duplicates"][0]
    assert (first["image"][-7:], first["first"][-7:]) == ("045.png", "007.png")


def pairs(entries):
    return [(pair["image_index"], pair["first_index"]) for pair in entries]


def test_different_images_are_no_duplicates():
    report = make_report(
        scan(reader(smooth(0, 60, 32))), scan(reader(smooth(1, 60, 32)))
    )
    for part in (report, report["held_out"]):
        assert part["num_exact_duplicates"] == part["num_near_duplicates"] == 0
    assert format_report(report).count("duplicates: none found") == 4


def test_duplicates_between_train_and_held_out_data():
    real = smooth(0, 40, 64)
    held_out = np.stack([*smooth(1, 20, 64), *variants(real)[:4], real[9]])
    report = make_report(scan(reader(real)), scan(reader(held_out)))
    assert report["num_near_duplicates"] == 0
    assert report["held_out"]["images"] == 25
    assert pairs(report["held_out"]["near_duplicates"]) == [
        (20 + i, i) for i in range(4)
    ]
    assert pairs(report["held_out"]["exact_duplicates"]) == [(24, 9)]


def test_many_similar_images_have_one_first():
    images = noisy(np.repeat(smooth(0, 1, 32), 50, axis=0), 2)
    assert near_duplicates(scan(reader(images))) == dict.fromkeys(range(1, 50), 0)


def test_sizes_and_aspect_ratios(tmp_path):
    sizes = [(20, 10), (20, 10), (30, 30), (16, 32)]
    images = [
        np.asarray(Image.new("RGB", size, (50 * i, 0, 0)))
        for i, size in enumerate(sizes)
    ]
    report = make_report(scan(save(tmp_path / "train", images)))
    assert report["common_sizes"][0] == {"width": 20, "height": 10, "images": 2}
    assert report["num_sizes"] == 3
    assert (report["smallest_side"], report["largest_side"]) == (10, 32)
    assert report["aspect_ratio"] == {"min": 0.5, "median": 1.5, "max": 2}
    assert report["square"] == 1


def test_the_files_are_the_same_each_time(tmp_path):
    real = smooth(0, 30, 32)
    data = reader(np.stack([*real, *variants(real)[:4], real[5]]))
    for name in ("a", "b", "b"):
        report = write_report(tmp_path / name, scan(data), scan(reader(real[:3])))
    for name in ("report.txt", "report.json", "report.png"):
        content = (tmp_path / "a" / name).read_bytes()
        assert content == (tmp_path / "b" / name).read_bytes()
    assert json.loads((tmp_path / "a/report.json").read_text()) == report
    picture = np.asarray(Image.open(io.BytesIO(content)))
    # Images, near duplicates, exact ones, and exact ones of held-out images.
    assert picture.shape == (8 * 98 - 2, 12 * 98 - 2, 3)


@pytest.mark.parametrize("count", [1, 2])
def test_few_images(tmp_path, count):
    write_report(tmp_path, scan(reader(smooth(0, count, 300))))
    assert (tmp_path / "report.png").exists()


def test_no_usable_image(tmp_path):
    with pytest.raises(UserError, match="none of 1 images is usable"):
        scan(save(tmp_path / "train", [], a=b""))
