"""Peak memory of FID and precision/recall over 50,000 x 2,048 features of either side.

python -m benchmarks.evaluation_memory [--num_real=10000]
"""

import resource
import time

import numpy as np
from absl import flags

from lada_tf import app
from lada_tf.evaluation import frechet_distance, precision_recall

flags.DEFINE_integer("num_real", 50_000, "Real images.")
flags.DEFINE_integer("num_generated", 50_000, "Generated images.")
FLAGS = flags.FLAGS
WIDTH = 2048
PROMISED = 2.5  # GB


def main() -> None:
    real, generated = features(0, FLAGS.num_real), features(1, FLAGS.num_generated)
    report("features made")
    for metric in (frechet_distance, precision_recall):
        start = time.perf_counter()
        result = metric(real, generated)
        report(f"{metric.__name__} {result} in {time.perf_counter() - start:.0f} s")
    print("within" if peak() < PROMISED else "OVER", f"{PROMISED} GB")


def features(seed: int, count: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    values = np.empty((count, WIDTH), np.float32)
    for start in range(0, count, 1000):
        block = values[start : start + 1000]
        np.maximum(random.standard_normal(block.shape, np.float32), 0, out=block)
    return values


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def report(what: str) -> None:
    print(f"peak {peak():.2f} GB: {what}", flush=True)


if __name__ == "__main__":
    app.run(main)
