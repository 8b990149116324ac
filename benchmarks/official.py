"""The authors' code as a benchmark's worker; runs in an environment of its own.

Settings: `path`, the folder of their TensorFlow code in a checkout; `task`, `train`
or `sample`; `config`, what their config.py holds, for one of our presets. Their classes
are made and called as by their train.py and trainer.py, but for a decoder's training
step: XLA cannot compile it, so that it is run as a graph.
"""

import tensorflow as tf

from benchmarks.device import device_peak_mb
from benchmarks.official_gan import official_gan
from benchmarks.worker import serve, timed


def start(settings):
    gan = official_gan(settings["path"], settings["config"])
    if settings["task"] == "sample":
        return start_sampling(gan)
    return start_training(gan, decoder=bool(settings["config"]["dec_dim"]))


def start_training(gan, decoder):
    side = gan.generator(tf.zeros((1, gan.noise_dim)))[0].shape[1]
    real = tf.random.uniform((gan.batch_size, side, side, 3), -1, 1)
    step = gan.train_step
    if decoder:
        step = tf.function(step.python_function)  # ResizeNearestNeighborGrad has no XLA

    def train(steps):
        def run():
            for _ in range(steps):
                step(real)
            gan.train_metrics["g_loss"].result().numpy()  # waits

        return timed(run)

    commands = {"train": train, "device_peak_mb": device_peak_mb}
    return first_of(train(1)), commands


def start_sampling(gan):
    def sample(batch_size, calls):
        def run():
            for _ in range(calls):
                noise = tf.random.normal([batch_size, gan.noise_dim])
                gan.ema_generator(noise, training=False)[0].numpy()

        return timed(run)

    return first_of(sample(1, 1)), {"sample": sample}


def first_of(measured):
    return {"tensorflow": tf.__version__, "peak_mb": measured["peak_mb"]}


if __name__ == "__main__":
    serve(start)
