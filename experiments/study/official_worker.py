"""Train the authors' LadaGAN in an environment that has their TensorFlow.

experiments.study.official runs this command in the root of the repository:

    python -m experiments.study.official_worker DIRECTORY JOB.json

DIRECTORY is their TensorFlow code in a checkout. The job has these keys:

    config: the contents of their config.json
    images: a .npy file, uint8 (N, H, W, 3)
    output: a directory
    seed, steps
    log_images, sample_images: intervals in images
    num_samples: number of generated images

Writes metrics.jsonl with our names of the metrics, and samples-IMAGES.npy with uint8
images of the EMA generator.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.official import official_gan

# Their name of a metric: our name.
NAMES = {
    "d_loss": "d_loss",
    "d_total": "d_total_loss",
    "g_loss": "g_loss",
    "gp": "r1_weighted",
}
BATCH = 50  # samples per call


def main(directory: str, job_file: str) -> None:
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    tf.keras.utils.set_random_seed(job["seed"])
    gan = official_gan(directory, job["config"])
    # Their step is compiled by XLA. As a graph, the same step is faster on CPUs.
    step = tf.function(gan.train_step.python_function)
    output, batch_size = Path(job["output"]), job["config"]["batch_size"]
    with (output / "metrics.jsonl").open("w", encoding="utf-8") as log:
        for number, real in zip(range(job["steps"]), batches(job), strict=False):
            step(tf.constant(real))
            seen = (number + 1) * batch_size
            if seen % job["log_images"] == 0:
                values = {
                    ours: float(gan.train_metrics[theirs].result())
                    for theirs, ours in NAMES.items()
                }
                for metric in gan.train_metrics.values():
                    metric.reset_states()
                print(json.dumps({"images": seen, **values}), file=log, flush=True)
            if seen % job["sample_images"] == 0:
                images = samples(gan, job["num_samples"])
                np.save(output / f"samples-{seen:08d}.npy", images)


def batches(job: dict):
    """Yield real batches in [-1, 1], in a new order each epoch."""
    images = np.load(job["images"], mmap_mode="r")
    random = np.random.default_rng(job["seed"])
    size = job["config"]["batch_size"]
    while True:
        order = random.permutation(len(images))
        for start in range(0, len(order) - size + 1, size):
            batch = images[np.sort(order[start : start + size])]
            yield batch.astype(np.float32) / 127.5 - 1


def samples(gan, count: int) -> np.ndarray:
    """Return uint8 images of the EMA generator."""
    made = []
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        latents = tf.random.normal((size, gan.noise_dim))
        images = gan.ema_generator(latents, training=False)[0].numpy()
        made.append(np.clip(np.rint(images * 127.5 + 127.5), 0, 255).astype(np.uint8))
    return np.concatenate(made)


if __name__ == "__main__":
    main(*sys.argv[1:])
