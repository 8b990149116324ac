"""Compare training on 1, 2 and 4 replicas, with the same global batches.

    python -m experiments.replicas

Each case trains a small LadaGAN for 20 steps of plain gradient descent, on virtual
devices of the CPU. With Adam, rounding errors would become full steps for weights whose
gradient is zero. Prints one JSON line per case, compared with a single device:

    first_step: largest relative difference of the first step's metrics
    weights: largest difference of a weight after 20 steps
    moved: how far the weights have moved

Cost: 2 minutes on 2 CPU cores.
Expected: differences of at most 1e-6, from rounding. If rounding changes the sign of an
input of LeakyReLU, some hundred weights differ by about 1e-5. On one of two CPUs, this
happened at step 16. Without synchronized batch normalization, everything differs.
"""

from lada_tf import app  # first: it imports TensorFlow without its log lines

# isort: split
import json

import keras
import numpy as np

from benchmarks.worker import in_new_process
from lada_tf.data import open_source
from lada_tf.models import LadaGAN
from lada_tf.models.losses import METRICS
from lada_tf.training.distribution import distributed_batches, make_strategy
from lada_tf.training.loop import TrainingLoop
from tests.small import SMALL

STEPS = 20
BATCH_SIZE = 8
# Number of replicas, sync_batch_norm.
CASES = ((2, True), (4, True), (2, False))


def main() -> None:
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
    """Call `train` in a new process, because virtual devices need one."""
    return in_new_process(train, *arguments)


def train(replicas: int, sync_batch_norm: bool, r1_interval: int = 1):
    """Return the initial and final weights, and the first step's nonzero metrics."""
    strategy = (
        make_strategy("mirrored", virtual_cpus=replicas)
        if replicas > 1
        else make_strategy("none")
    )
    keras.utils.set_random_seed(0)
    with strategy.scope():
        gan = LadaGAN.from_preset(
            "tiny",
            sync_batch_norm=sync_batch_norm,
            r1_interval=r1_interval,
            **{**SMALL, "augment": "color,translation,cutout"},
        )
        gan.compile(keras.optimizers.SGD(0.001), keras.optimizers.SGD(0.001))
    initial = weights_of(gan)
    first_step = FirstStep()
    data = distributed_batches(
        strategy, open_source("portraits", 32), BATCH_SIZE, seed=0
    )
    TrainingLoop(gan, strategy).run(data, STEPS, [first_step])
    return initial, weights_of(gan), first_step.metrics


class FirstStep(keras.callbacks.Callback):
    """Keep the first step's metrics."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            values = np.array([logs[name] for name in METRICS])
            self.metrics = values[values != 0]


def weights_of(gan: LadaGAN) -> np.ndarray:
    networks = (gan.generator, gan.discriminator, gan.ema_generator)
    return np.concatenate([np.ravel(w) for n in networks for w in n.get_weights()])


if __name__ == "__main__":
    app.run(main)
