"""Measure our data pipeline against one that decodes the files in each epoch.

    python -m benchmarks.data_throughput
    python -m benchmarks.data_throughput --output=throughput.json --memory_limit_mb=0

The data are 10,000 PNGs of 64x64, read at 64, and 2,000 JPEGs of 512x512, read at 128.
Each measurement is a new process. The pipelines take turns, and we compare the medians.
We time the first epoch (with the decoding and caching of our `open_source`) and the
mean of later epochs. Peak memory is that of the process minus `--memory_limit_mb`, and
also minus TensorFlow's import (about 540 MB) and the cached images.

With --memory_limit_mb=0, nothing is cached in memory: this measures the cache on disk.
"""

import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable

import numpy as np
from absl import app, flags
from PIL import Image

from benchmarks.report import write_json

ROUNDS = flags.DEFINE_integer("rounds", 3, "Turns per pipeline.")
MEMORY_LIMIT = flags.DEFINE_integer(
    "memory_limit_mb", 1024, "Size of our cache in memory."
)
OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")

BATCH_SIZE = 64
LATER_EPOCHS = 5
# Name, images, pixels of a file, extension, training size.
DATA = (("png64", 10_000, 64, "png", 64), ("jpeg512", 2_000, 512, "jpg", 128))
TARGETS = {
    "later_speedup": ">= 8",
    "first_epoch": "<= 1.1",
    "peak_over_bound_mb": "<= 500",
    "without_tensorflow_and_cache_mb": "",
}


def main(argv: list[str]) -> None:
    del argv
    results = []
    with tempfile.TemporaryDirectory() as directory:
        for name, count, pixels, extension, size in DATA:
            images = os.path.join(directory, name)
            write_images(images, count, pixels, extension)
            results.append(compare(name, images, count, size))
    print_table(results)
    write_json(OUTPUT.value, results)


def compare(name: str, images: str, count: int, size: int) -> dict:
    """Return medians of both pipelines over the rounds, and their ratios."""
    runs: dict[str, list[dict]] = {"plain": [], "ours": []}
    for _ in range(ROUNDS.value):
        for pipeline, measured in runs.items():
            limit = MEMORY_LIMIT.value * 2**20
            measured.append(in_new_process(pipeline, images, count, size, limit))
    medians = {
        pipeline: {
            key: statistics.median(run[key] for run in measured) for key in measured[0]
        }
        for pipeline, measured in runs.items()
    }
    plain, ours = medians["plain"], medians["ours"]
    return {
        "data": name,
        "memory_limit_mb": MEMORY_LIMIT.value,
        **medians,
        "first_epoch": ours["first_epoch_s"] / plain["first_epoch_s"],
        "later_speedup": ours["later_images_s"] / plain["later_images_s"],
        "peak_over_bound_mb": ours["peak_mb"] - MEMORY_LIMIT.value,
        "without_tensorflow_and_cache_mb": ours["peak_mb"]
        - ours["imported_mb"]
        - min(MEMORY_LIMIT.value, ours["decoded_mb"]),
    }


def in_new_process(*arguments) -> dict:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(sender, *arguments))
    process.start()
    try:
        return receiver.recv()
    finally:
        process.join()


def measure(sender, pipeline: str, images: str, count: int, size: int, limit: int):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    imports()
    imported = peak_mb()
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        if pipeline == "ours":
            epochs = our_epochs(images, count, size, limit, cache)
        else:
            epochs = plain_epochs(images, size)
        iterator = iter(epochs)
        consume(next(iterator))
        first = time.perf_counter() - start
        start = time.perf_counter()
        for _ in range(LATER_EPOCHS):
            consume(next(iterator))
        later = (time.perf_counter() - start) / LATER_EPOCHS
        sender.send(
            {
                "first_epoch_s": first,
                "later_images_s": count / later,
                "peak_mb": peak_mb(),
                "imported_mb": imported,
                "decoded_mb": count * size * size * 3 / 2**20,
            }
        )
    sys.stdout.flush()


def imports() -> None:
    """Import and start TensorFlow, which is not part of either pipeline."""
    import tensorflow as tf

    import lada_tf.data  # noqa: F401

    consume(tf.data.Dataset.range(2).map(lambda number: number + 1))


def plain_epochs(folder: str, size: int):
    """Yield epochs of the usual pipeline: list, read, decode and resize the files."""
    import tensorflow as tf

    def read(path):
        image = tf.io.decode_image(
            tf.io.read_file(path), channels=3, expand_animations=False
        )
        return tf.image.resize(image, (size, size)) / 127.5 - 1.0

    while True:
        files = tf.data.Dataset.list_files(os.path.join(folder, "*"), shuffle=True)
        images = files.map(read, num_parallel_calls=tf.data.AUTOTUNE)
        yield images.batch(BATCH_SIZE).prefetch(tf.data.AUTOTUNE)


def our_epochs(folder: str, count: int, size: int, limit: int, cache: str):
    from lada_tf.data import batches, open_source

    source = open_source(
        folder, size, resize="plain", memory_limit=limit, cache_dir=cache
    )
    endless = iter(batches(source, BATCH_SIZE, seed=0))
    steps = -(-count // BATCH_SIZE)
    while True:
        yield (next(endless) for _ in range(steps))


def consume(batches: Iterable) -> None:
    for _ in batches:
        pass


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_images(folder: str, count: int, pixels: int, extension: str) -> None:
    """Write enlarged portraits with noise: neither flat nor incompressible."""
    from lada_tf.data import open_source

    os.makedirs(folder)
    portraits = open_source("portraits", 32).images(np.arange(997))
    noise = np.random.default_rng(0)
    for number in range(count):
        portrait = Image.fromarray(portraits[number % len(portraits)])
        image = np.asarray(portrait.resize((pixels, pixels)), np.int16)
        image = image + noise.integers(-12, 12, image.shape, np.int16)
        noisy = Image.fromarray(image.clip(0, 255).astype(np.uint8))
        noisy.save(os.path.join(folder, f"{number:05d}.{extension}"), quality=90)


def print_table(results: list[dict]) -> None:
    print(f"{'':32}" + "".join(f"{result['data']:>12}" for result in results))
    for pipeline in ("plain", "ours"):
        for key in ("first_epoch_s", "later_images_s", "peak_mb"):
            row = "".join(f"{result[pipeline][key]:12.2f}" for result in results)
            print(f"{pipeline + ' ' + key:32}{row}")
    for key, target in TARGETS.items():
        row = "".join(f"{result[key]:12.2f}" for result in results)
        print(f"{key + ' ' + target:32}{row}")


if __name__ == "__main__":
    app.run(main)
