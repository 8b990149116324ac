"""Measure our data pipeline against one that decodes the files in each epoch.

    python -m benchmarks.data_throughput --output=docs/data/data_throughput.json

The data are 10,000 PNGs of 64x64, read at 64, and 2,000 JPEGs of 512x512, read at 128.
Each measurement is a new process. The pipelines take turns, and we compare the medians.
The first epoch includes the decoding and caching of `open_source`. The later ones are
five epochs together.
"""

from lada_tf import app  # first: it imports TensorFlow without its log lines

# isort: split
import os
import tempfile
import time
from collections.abc import Iterable, Iterator

import numpy as np
from absl import flags
from PIL import Image

from benchmarks.report import machine, print_markdown, ratio, write_json
from benchmarks.worker import in_new_process

BATCH_SIZE = 64
LATER_EPOCHS = 5
# Column of the table: number of images, pixels per side, extension, training size.
DATA = {
    "10,000 PNGs, 64×64": (10_000, 64, "png", 64),
    "2,000 JPEGs, 512×512 at 128": (2_000, 512, "jpg", 128),
}


def main() -> None:
    results = {}
    with tempfile.TemporaryDirectory() as directory:
        for number, (name, (count, pixels, extension, size)) in enumerate(DATA.items()):
            images = os.path.join(directory, str(number))
            write_images(images, count, pixels, extension)
            results[name] = compare(images, count, size)
    print_markdown(rows(results))
    write_json(flags.FLAGS.output, {"machine": machine(), "data": results})


def compare(images: str, count: int, size: int) -> dict[str, list[dict]]:
    """Return the measurements of both pipelines, one per turn."""
    measured: dict[str, list[dict]] = {"usual": [], "ours": []}
    for _ in range(flags.FLAGS.turns):
        for pipeline, turns in measured.items():
            turns.append(in_new_process(measure, pipeline, images, count, size))
    return measured


def measure(pipeline: str, images: str, count: int, size: int) -> dict[str, float]:
    """Return the seconds of the first and of the later epochs."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    start_tensorflow()
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        if pipeline == "ours":
            epochs = our_epochs(images, count, size, cache)
        else:
            epochs = usual_epochs(images, size)
        consume(next(epochs))
        first = time.perf_counter() - start
        start = time.perf_counter()
        for _ in range(LATER_EPOCHS):
            consume(next(epochs))
        later = time.perf_counter() - start
    return {"first_epoch_seconds": first, "later_epochs_seconds": later}


def start_tensorflow() -> None:
    """Import and start TensorFlow, which is not part of either pipeline."""
    import tensorflow as tf

    import lada_tf.data  # noqa: F401

    consume(tf.data.Dataset.range(2).map(lambda number: number + 1))


def usual_epochs(directory: str, size: int) -> Iterator[Iterable]:
    """Yield epochs of the usual pipeline: list, read, decode and resize the files."""
    import tensorflow as tf

    def read(path):
        image = tf.io.decode_image(
            tf.io.read_file(path), channels=3, expand_animations=False
        )
        return tf.image.resize(image, (size, size)) / 127.5 - 1.0

    while True:
        files = tf.data.Dataset.list_files(os.path.join(directory, "*"), shuffle=True)
        images = files.map(read, num_parallel_calls=tf.data.AUTOTUNE)
        yield images.batch(BATCH_SIZE).prefetch(tf.data.AUTOTUNE)


def our_epochs(directory: str, count: int, size: int, cache: str) -> Iterator[Iterable]:
    from lada_tf.data import batches, open_source

    source = open_source(directory, size, resize="plain", cache_dir=cache)
    endless = iter(batches(source, BATCH_SIZE, seed=0))
    steps = -(-count // BATCH_SIZE)
    while True:
        yield (next(endless) for _ in range(steps))


def consume(batches: Iterable) -> None:
    for _ in batches:
        pass


def write_images(directory: str, count: int, pixels: int, extension: str) -> None:
    """Write enlarged portraits with noise: neither flat nor incompressible."""
    from lada_tf.data import open_source

    os.makedirs(directory)
    portraits = open_source("portraits", 32).images(np.arange(997))
    noise = np.random.default_rng(0)
    for number in range(count):
        portrait = Image.fromarray(portraits[number % len(portraits)])
        image = np.asarray(portrait.resize((pixels, pixels)), np.int16)
        image = image + noise.integers(-12, 12, image.shape, np.int16)
        noisy = Image.fromarray(image.clip(0, 255).astype(np.uint8))
        noisy.save(os.path.join(directory, f"{number:05d}.{extension}"), quality=90)


def rows(results: dict) -> list[dict[str, str]]:
    """Return the table: a column per kind of data."""

    def seconds(name, key):
        return [
            [turn[key] for turn in results[name][pipeline]]
            for pipeline in ("ours", "usual")
        ]

    speed = {"ours / usual": "images/s after the first epoch"}
    first = {"ours / usual": "time of the first epoch"}
    for name in results:
        ours, usual = seconds(name, "later_epochs_seconds")
        speed[name] = ratio(usual, ours)
        ours, usual = seconds(name, "first_epoch_seconds")
        first[name] = ratio(ours, usual)
    return [speed, first]


if __name__ == "__main__":
    flags.DEFINE_integer("turns", 3, "Turns per pipeline.", lower_bound=1)
    flags.DEFINE_string("output", None, "JSON file to write.")
    app.run(main)
