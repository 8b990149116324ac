"""Print Table V: parameters, FLOPs, images seen and throughput, ours and the paper's.

    python -m experiments.table5                                  # on a GPU
    python -m experiments.table5 --preset=cifar10 --batch_size=4  # on a laptop

Throughput is the median of some training steps after the first, on images in memory.
The paper measured it on an RTX 3080 Ti.
"""

import platform
import statistics
import time

import tensorflow as tf
from absl import flags

from benchmarks.report import PAPER_THROUGHPUT
from lada_tf import app
from lada_tf.models import PRESETS, LadaGAN
from lada_tf.models.cost import PAPER_COSTS, count_flops


def main() -> None:
    devices = tf.config.list_physical_devices("GPU")
    print(f"Machine: {len(devices)} GPUs, {platform.processor() or platform.machine()}")
    print(
        "\n| preset | G parameters (paper) | G multiply-adds (paper) | images | batch "
        "| images/s (paper) |"
    )
    print("|---" * 6 + "|")
    for name in [flags.FLAGS.preset] if flags.FLAGS.preset else PAPER_THROUGHPUT:
        print(line(name, flags.FLAGS.batch_size, flags.FLAGS.steps), flush=True)


def line(name: str, batch_size: int | None, steps: int) -> str:
    """Return a preset's line of the table."""
    preset = PRESETS[name]
    batch_size = batch_size or preset.batch_size
    gan = LadaGAN.from_preset(preset)
    gan.compile()
    paper = PAPER_COSTS[name]
    cells = (
        name,
        f"{gan.generator.count_params() / 1e6:.1f}M ({paper.g_parameters})",
        f"{count_flops(gan.generator) / 2e9:.2f}B ({paper.g_flops})",
        f"{preset.total_images / 1e6:.0f}M",
        str(batch_size),
        f"{_throughput(gan, batch_size, steps):.2f} ({PAPER_THROUGHPUT[name]:.2f})",
    )
    return f"| {' | '.join(cells)} |"


def _throughput(gan: LadaGAN, batch_size: int, steps: int) -> float:
    """Return training images per second."""
    side = gan.generator.image_size
    real = tf.random.uniform((batch_size, side, side, 3), -1, 1)
    gan.train_on_batch(real)  # compiles
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        gan.train_on_batch(real)  # returns floats, so it waits for the device
        seconds.append(time.perf_counter() - start)
    return batch_size / statistics.median(seconds)


if __name__ == "__main__":
    flags.DEFINE_enum("preset", None, list(PAPER_THROUGHPUT), "Preset. Default: all.")
    flags.DEFINE_integer(
        "batch_size", None, "Images per step. Default: the preset's.", 1
    )
    flags.DEFINE_integer("steps", 5, "Steps to time.", lower_bound=1)
    app.run(main)
