"""Measure the peak memory of a training step, with and without gradient checkpointing.

    python -m benchmarks.training_memory --output=docs/data/training_memory.json

Each measurement is a new process that runs three steps on the CPU, as a graph. We
subtract the memory of imports and construction. The rest grows with the batch size, and
"MiB per image" is the slope. "time ×" compares the last two steps. XLA and GPUs
allocate differently, so the figures are only a guide for them.
"""

from lada_tf import app  # first: it imports TensorFlow without its log lines

# isort: split
import json
import statistics
import time

import numpy as np
import tensorflow as tf
from absl import flags

from benchmarks.report import print_markdown, write_json
from benchmarks.worker import in_new_process, peak_mb
from lada_tf.models import PRESETS, get_preset
from lada_tf.training.configuration import TrainingOptions
from lada_tf.training.loop import TrainingLoop
from lada_tf.training.trainer import build

WAYS = ("plain", "gradient_checkpointing")


def main() -> None:
    report = {}
    for name in flags.FLAGS.presets:
        report[name] = {
            batch: {way: in_new_process(measure, name, int(batch), way) for way in WAYS}
            for batch in flags.FLAGS.batches
        }
        print(name, json.dumps(report[name]), flush=True)
    print_markdown([{"preset": name} | cells(row) for name, row in report.items()])
    write_json(flags.FLAGS.output, report)


def measure(name: str, batch: int, way: str) -> dict:
    """Return the MiB that steps add to the process's peak, and the seconds per step."""
    options = TrainingOptions(gradient_checkpointing=way == "gradient_checkpointing")
    gan = build(get_preset(name, g_initializer="zeros"), options)
    loop = TrainingLoop(gan, tf.distribute.get_strategy())
    size = gan.image_size
    images = tf.data.Dataset.from_tensors(np.zeros((batch, size, size, 3), np.float32))
    # One iterator for all calls: creating and deleting it is not part of a step.
    batches = iter(images.repeat())
    memory = peak_mb()
    loop.run(batches, steps=1)
    begin = time.perf_counter()
    loop.run(batches, steps=2)
    seconds = (time.perf_counter() - begin) / 2
    return {"mib": round(peak_mb() - memory, 1), "seconds": round(seconds, 3)}


def cells(row: dict) -> dict[str, str]:
    """Return a preset's line of the table: MiB per image, and the slowdown."""
    slopes = {
        way: np.polyfit(
            [int(batch) for batch in row],
            [ways[way]["mib"] for ways in row.values()],
            1,
        )[0]
        for way in WAYS
    }
    plain, checkpointed = (
        [ways[way]["seconds"] for ways in row.values()] for way in WAYS
    )
    slowdown = statistics.median(
        a / b for a, b in zip(checkpointed, plain, strict=True)
    )
    return {
        "MiB per image": f"{slopes['plain']:.0f}",
        "checkpointed, MiB": f"{slopes['gradient_checkpointing']:.0f}",
        "time ×": f"{slowdown:.2f}",
    }


if __name__ == "__main__":
    flags.DEFINE_list("presets", list(PRESETS), "Presets to measure.")
    flags.DEFINE_list("batches", ["4", "12"], "Batch sizes.")
    flags.DEFINE_string("output", None, "JSON file to write.")
    app.run(main)
