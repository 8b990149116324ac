"""Table V: parameters, FLOPs, images seen and throughput, beside the paper's.

    python -m experiments.table5                                  # on a GPU
    python -m experiments.table5 --preset=cifar10 --batch_size=4  # on a laptop

Throughput is that of training steps on images already in memory, the median of a few
after the first one. The paper's is of an RTX 3080 Ti.
"""

import platform
import statistics
import time

import tensorflow as tf
from absl import flags

from lada_tf import app
from lada_tf.models import PRESETS, LadaGAN
from lada_tf.models.cost import PAPER_COSTS, count_flops

# Images a second on one RTX 3080 Ti; the paper gives one figure a resolution.
PAPER_THROUGHPUT = {
    "cifar10": 416.66,
    "celeba64": 333.33,
    "ffhq128": 192.30,
    "bedroom128": 192.30,
    "bedroom256": 63.69,
}


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
    """One preset's row of the table."""
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
    """Training images a second."""
    side = gan.generator.image_size
    real = tf.random.uniform((batch_size, side, side, 3), -1, 1)
    gan.train_on_batch(real)  # compiles
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        gan.train_on_batch(real)  # returns numbers: it has waited for the device
        seconds.append(time.perf_counter() - start)
    return batch_size / statistics.median(seconds)


if __name__ == "__main__":
    flags.DEFINE_enum("preset", None, list(PAPER_THROUGHPUT), "Preset; or all.")
    flags.DEFINE_integer("batch_size", None, "Images a step; or the preset's.", 1)
    flags.DEFINE_integer("steps", 5, "Steps to time.", lower_bound=1)
    app.run(main)
