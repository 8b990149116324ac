import io
import json

import numpy as np
import pytest
from PIL import Image

from lada_tf.data.source import MemorySource
from lada_tf.errors import UserError
from lada_tf.evaluation.image_sets import ImageSet
from lada_tf.evaluation.memorization_report import (
    MemorizationTest,
    draw_closest,
    find_memorization,
)
from lada_tf.evaluation.reporting import format_memorization
from tests.evaluation import recipes
from tests.evaluation.fakes import FakeExtractor


def smooth(seed, count, size):
    """Return blurred random images, whose neighbors differ in few pixels."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 5, 5, 3)).astype(np.uint8)
    bicubic = Image.Resampling.BICUBIC
    return np.stack(
        [Image.fromarray(image).resize((size, size), bicubic) for image in coarse]
    )


def jpeg(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=75)
    return np.asarray(Image.open(stream).convert("RGB"))


def noisy(images, deviation):
    noise = np.random.default_rng(9).normal(0, deviation, images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def image_set(array):
    return ImageSet(
        {}, array.shape[1], len(array), lambda n: iter([array[:n]]), array.__getitem__
    )


def find(generated, real, held_out=None):
    held_out = MemorySource(held_out, "held-out") if held_out is not None else None
    return find_memorization(
        image_set(generated),
        len(generated),
        FakeExtractor(),
        MemorySource(real, "training"),
        held_out,
        batch_size=16,
    )


def report(generated, training, directory):
    test = MemorizationTest(training, picture=str(directory / "pairs.png"))
    images = test.watch(image_set(generated))
    [batch] = images.batches(len(generated))
    test.report(images, FakeExtractor()(batch).pool, FakeExtractor())


@pytest.fixture(params=[smooth, recipes.images])
def make(request):
    return request.param


@pytest.mark.parametrize("size", [20, 32, 47])
def test_counts_of_planted_copies(make, size):
    real, new = make(0, 80, size), make(1, 30, size)
    planted = [
        new[:10],
        real[:4],
        real[4:9, :, ::-1],
        noisy(real[9:15], 3),
        noisy(real[15:17, :, ::-1], 3),
        np.stack([jpeg(image) for image in real[17:20]]),
        new[10:],
    ]
    found = find(np.concatenate(planted), real)
    assert found.copies.counts() == {
        "exact_copies": 4 + 5,
        "near_copies": 6 + 2 + 3,
        "mirrored_copies": 5 + 2,
    }
    np.testing.assert_array_equal(found.copies.index[10:30], np.arange(20))
    assert not (found.copies.exact | found.copies.near)[
        [*range(10), *range(30, 50)]
    ].any()
    assert found.copies.rms[10:19].max() < 1  # rounding of mirrored thumbnails
    closest = found.record["closest"]
    assert sorted(pair["generated"] for pair in closest[:9]) == [*range(10, 19)]


def test_new_images_are_no_copies(make):
    found = find(make(1, 60, 32), make(0, 80, 32), held_out=make(2, 40, 32))
    none = {"exact_copies": 0, "near_copies": 0, "mirrored_copies": 0}
    assert found.copies.counts() == none
    assert found.record["held_out"].items() >= none.items()
    text = format_memorization(found.record)
    assert text.count("none found by this test") == 2
    assert "does not memorize" not in text


def test_the_record_is_json_and_says_what_was_compared():
    real = smooth(0, 50, 32)
    generated = np.concatenate([real[:10], smooth(1, 30, 32)])
    found = find(
        generated, real, held_out=np.concatenate([real[:3], smooth(2, 27, 32)])
    )
    record = json.loads(json.dumps(found.record))
    assert (record["num_generated"], record["num_training"]) == (40, 50)
    assert record["training"] == "training"
    assert record["AuthPct"] == 100 * found.authentic.mean() <= 75
    assert record["held_out"]["exact_copies"] == 3
    assert "3 held-out images are training images" in format_memorization(record)
    assert isinstance(record["C_T"], float)


def test_the_picture_and_the_table(tmp_path):
    real = smooth(0, 50, 32)
    generated = np.concatenate([smooth(1, 30, 32), real[7:8, :, ::-1]])
    found = find(generated, real)
    images, training = image_set(generated), MemorySource(real, "training")
    picture = draw_closest(found, images, training, side=32)
    np.testing.assert_array_equal(picture[:32, :32], generated[30])
    np.testing.assert_array_equal(picture[34:66, :32], generated[30])  # mirrored
    report(generated, training, tmp_path)
    assert Image.open(tmp_path / "pairs.png").size == (12 * 66 - 2, 6 * 66 - 2)
    lines = (tmp_path / "pairs.csv").read_text().splitlines()
    assert len(lines) == 32
    assert lines[31].startswith("30,7,0.0,1,exact,0.0,")


@pytest.mark.parametrize("count", [1, 2, 13])
def test_few_images(count, tmp_path):
    real, generated = smooth(0, 2, 16), smooth(1, count, 16)
    report(generated, MemorySource(real, "training"), tmp_path)
    assert len((tmp_path / "pairs.csv").read_text().splitlines()) == count + 1


@pytest.mark.parametrize(
    ("real", "held_out", "message"),
    [
        (smooth(0, 5, 16), None, "real has images of 16x16"),
        (smooth(0, 5, 32), smooth(0, 5, 16), "held_out has images of 16x16"),
        (smooth(0, 1, 32), None, "real has 1 image"),
    ],
)
def test_user_errors(real, held_out, message):
    with pytest.raises(UserError, match=message):
        find(smooth(1, 5, 32), real, held_out)
