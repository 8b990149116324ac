"""Twenty steps of a small LadaGAN, in a process with several devices of its own.

python -m tests.training.train_on_replicas REPLICAS SYNC_BATCHNORM OUTPUT.npz
"""

import sys

import keras
import numpy as np

from lada_tf.data import open_source
from lada_tf.models import LadaGAN
from lada_tf.models.lada_gan import METRICS
from lada_tf.training.distribution import distributed_batches, make_strategy
from lada_tf.training.loop import Loop

STEPS = 20
SMALL = {
    "g_widths": (16, 8, 8),
    "d_widths": (4, 8),
    "d_out_widths": (8, 8),
    "g_mlp": (8,),
    "d_mlp": 8,
    "latent_dim": 5,
    "augment": "color,translation,cutout",
}


class Record(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.rows = []

    def on_train_batch_end(self, batch, logs=None):
        self.rows.append([logs[name] for name in METRICS])


def train(strategy, source, sync_batch_norm=True, accumulate=1):
    """The weights after 20 steps of plain gradient descent, and the steps' metrics.

    Adam would make a step of a gradient that is nothing but rounding.
    """
    keras.utils.set_random_seed(0)
    with strategy.scope():
        gan = LadaGAN.from_preset("tiny", sync_batch_norm=sync_batch_norm, **SMALL)
        gan.compile(
            keras.optimizers.SGD(0.001),
            keras.optimizers.SGD(0.001),
            accumulate=accumulate,
        )
    record = Record()
    data = distributed_batches(strategy, source, 8, seed=0)
    Loop(gan, strategy, jit_compile=False).run(data, STEPS, [record])
    networks = (gan.generator, gan.discriminator, gan.ema_generator)
    weights = [np.ravel(w) for n in networks for w in n.get_weights()]
    return np.concatenate(weights), np.array(record.rows), gan.images_seen


def main(replicas, sync_batch_norm, output):
    strategy = make_strategy("mirrored", virtual_cpus=int(replicas))
    source = open_source("portraits", 32)
    weights, metrics, images_seen = train(
        strategy, source, sync_batch_norm=sync_batch_norm == "true"
    )
    np.savez(output, weights=weights, metrics=metrics, images_seen=images_seen)


if __name__ == "__main__":
    main(*sys.argv[1:])
