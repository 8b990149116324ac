"""Measure the peak memory of a training step, with and without gradient checkpointing.

    python -m benchmarks.training_memory --output=docs/data/training_memory.json

Each preset, batch size and way is a process that runs three steps on the CPU, as a
graph. The memory of imports and construction is subtracted. The rest grows with the
batch; MiB per image is the slope. Time is that of the last two steps. XLA and GPUs
allocate differently, so treat the figures as a guide.
"""

import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import tensorflow as tf
from absl import flags

from benchmarks.report import print_markdown, write_json
from lada_tf import app
from lada_tf.models import PRESETS, get_preset
from lada_tf.training.configuration import TrainingOptions
from lada_tf.training.loop import TrainingLoop
from lada_tf.training.trainer import build

WAYS = ("plain", "gradient_checkpointing")


def main() -> None:
    if flags.FLAGS.only:
        name, batch, way = flags.FLAGS.only.split(":")
        print(json.dumps(measure(name, int(batch), way)))
        return
    report = {}
    for name in flags.FLAGS.presets:
        report[name] = {
            batch: {way: in_a_process(name, batch, way) for way in WAYS}
            for batch in flags.FLAGS.batches
        }
        print(name, json.dumps(report[name]), flush=True)
    print_markdown([{"preset": name} | cells(row) for name, row in report.items()])
    write_json(flags.FLAGS.output, report)


def in_a_process(name: str, batch: str, way: str) -> dict:
    """Call `measure` in a new process."""
    command = [sys.executable, "-m", "benchmarks.training_memory"]
    result = subprocess.run(
        [*command, f"--only={name}:{batch}:{way}"],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(result.stdout.splitlines()[-1])


def measure(name: str, batch: int, way: str) -> dict:
    """Return the MiB that steps add to the process's peak, and the seconds per step."""
    options = TrainingOptions(gradient_checkpointing=way == "gradient_checkpointing")
    gan = build(get_preset(name, g_initializer="zeros"), options)
    loop = TrainingLoop(gan, tf.distribute.get_strategy())
    size = gan.image_size
    images = tf.data.Dataset.from_tensors(np.zeros((batch, size, size, 3), np.float32))
    # One iterator for all calls: creating and deleting it is not part of a step.
    batches = iter(images.repeat())
    memory = peak()
    loop.run(batches, steps=1)
    begin = time.perf_counter()
    loop.run(batches, steps=2)
    seconds = (time.perf_counter() - begin) / 2
    return {"mib": round(peak() - memory, 1), "seconds": round(seconds, 3)}


def peak() -> float:
    """Return the process's peak resident memory in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


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
    flags.DEFINE_string(
        "only", None, "PRESET:BATCH:WAY, for the process of one measurement."
    )
    app.run(main)
