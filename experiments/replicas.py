"""The same global batches on 1, 2 and 4 replicas: how far apart do they end?

    python -m experiments.replicas

Twenty steps of plain gradient descent of a small LadaGAN on virtual devices of this
processor. (Adam would make a step of a gradient that is nothing but rounding.) Prints
for each case, as JSON, the largest relative difference of a metric of the first step,
and the largest differences of a weight after 20 steps, from one device and from the
start.

Cost: 2 minutes on 2 CPU cores.
Expected: 1e-6 and less, rounding, until it decides the sign of a LeakyReLU's input that
is nearly 0: from then on some hundred weights differ by some 1e-5 (on one processor of
two, from step 16 on). Without synchronized batch normalization the statistics are
others, and so is everything.
"""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import keras
import numpy as np
from absl import app

from lada_tf.data import open_source
from lada_tf.models import LadaGAN
from lada_tf.models.lada_gan import METRICS
from lada_tf.training.distribution import distributed_batches, make_strategy
from lada_tf.training.loop import Loop

STEPS = 20
BATCH_SIZE = 8
SMALL = {
    "g_widths": (16, 8, 8),
    "d_widths": (4, 8),
    "d_out_widths": (8, 8),
    "g_mlp_dim": (8,),
    "d_mlp_dim": 8,
    "latent_dim": 5,
    "augment": "color,translation,cutout",
}
# Replicas, and whether batch normalization is synchronized.
CASES = ((2, True), (4, True), (2, False))


def main(argv: list[str]) -> None:
    del argv
    start, expected, metrics = in_process(1, True)
    for replicas, sync_batch_norm in CASES:
        _, weights, first = in_process(replicas, sync_batch_norm)
        result = {
            "replicas": replicas,
            "sync_batch_norm": sync_batch_norm,
            "first_step": float(np.abs(first / metrics - 1).max()),
            "weights": float(np.abs(weights - expected).max()),
            "moved": float(np.abs(weights - start).max()),
        }
        print(json.dumps(result), flush=True)


def in_process(*arguments):
    """`train`, in a process of its own: devices are set before all else."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(train, *arguments).result()


def train(replicas: int, sync_batch_norm: bool, r1_interval: int = 1):
    """Weights before and after, and the metrics of the first step that are not 0."""
    strategy = (
        make_strategy("mirrored", virtual_cpus=replicas)
        if replicas > 1
        else make_strategy("none")
    )
    keras.utils.set_random_seed(0)
    with strategy.scope():
        gan = LadaGAN.from_preset(
            "tiny", sync_batch_norm=sync_batch_norm, r1_interval=r1_interval, **SMALL
        )
        gan.compile(keras.optimizers.SGD(0.001), keras.optimizers.SGD(0.001))
    before = weights_of(gan)
    first = FirstStep()
    data = distributed_batches(
        strategy, open_source("portraits", 32), BATCH_SIZE, seed=0
    )
    Loop(gan, strategy, jit_compile=False).run(data, STEPS, [first])
    return before, weights_of(gan), first.metrics


class FirstStep(keras.callbacks.Callback):
    """Keeps its metrics."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            values = np.array([logs[name] for name in METRICS])
            self.metrics = values[values != 0]


def weights_of(gan: LadaGAN) -> np.ndarray:
    networks = (gan.generator, gan.discriminator, gan.ema_generator)
    return np.concatenate([np.ravel(w) for n in networks for w in n.get_weights()])


if __name__ == "__main__":
    app.run(main)
