"""Peak memory of a training step, by preset and batch size.

    python -m benchmarks.training_memory --output=docs/data/training_memory.json

Each size is a process of its own that makes two steps on the processor, as a graph.
What importing and building takes is subtracted; what is left grows with the batch, and
a line is fitted through it. XLA and GPUs place their buffers otherwise: a guide.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
from absl import flags

from lada_tf import app
from lada_tf.models import PRESETS, LadaGAN, get_preset

flags.DEFINE_list("presets", list(PRESETS), "Presets to measure.")
flags.DEFINE_list("batches", ["4", "12"], "Batch sizes to measure them at.")
flags.DEFINE_string("output", None, "JSON file to write.")
flags.DEFINE_string("only", None, "PRESET:BATCH, one process's work.")
FLAGS = flags.FLAGS


def main() -> None:
    if FLAGS.only:
        name, batch = FLAGS.only.split(":")
        print(json.dumps(measure(name, int(batch))))
        return
    report = {}
    for name in FLAGS.presets:
        batches = [int(batch) for batch in FLAGS.batches]
        mebibytes = [in_a_process(name, batch) for batch in batches]
        slope, intercept = np.polyfit(batches, mebibytes, 1)
        own = PRESETS[name].batch_size
        report[name] = {
            "batches": batches,
            "mib": mebibytes,
            "mib_an_image": round(slope, 1),
            "mib_fixed": round(intercept, 1),
            "batch_size": own,
            "gib_at_batch_size": round((intercept + own * slope) / 1024, 1),
        }
        print(name, json.dumps(report[name]), flush=True)
    if FLAGS.output:
        Path(FLAGS.output).write_text(json.dumps(report, indent=1) + "\n")


def in_a_process(name: str, batch: int) -> float:
    """MiB that two steps added to the peak of a new process."""
    command = [sys.executable, "-m", "benchmarks.training_memory"]
    result = subprocess.run(
        [*command, f"--only={name}:{batch}"], check=True, capture_output=True, text=True
    )
    return json.loads(result.stdout.splitlines()[-1])


def measure(name: str, batch: int) -> float:
    gan = LadaGAN.from_preset(get_preset(name, g_initializer="glorot_uniform"))
    gan.compile(jit_compile=False)
    size = gan.image_size
    images = np.zeros((2 * batch, size, size, 3), np.float32)
    before = peak()
    gan.fit(images, batch_size=batch, shuffle=False, verbose=0)
    return round(peak() - before, 1)


def peak() -> float:
    """The process's peak resident memory in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    app.run(main)
