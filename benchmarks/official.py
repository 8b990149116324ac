"""The authors' code as a benchmark's worker, in a separate environment.

Settings:
    task: `train` or `sample`.
    path: directory of their TensorFlow code in a checkout.
    config: contents of their config.py, see `benchmarks.sides.official_config`.

We create and call their classes as their train.py and trainer.py do. XLA cannot compile
the training step of a network with a decoder, so this step runs as a graph.
"""

import sys
import types

import tensorflow as tf

from benchmarks.worker import gpu_peak_mb, serve, timed

REPORT = {"tensorflow": tf.__version__}


def start(settings):
    gan = official_gan(settings["path"], settings["config"])
    if settings["task"] == "sample":
        return start_sampling(gan)
    return start_training(gan, has_decoder=bool(settings["config"]["dec_dim"]))


def start_training(gan, has_decoder):
    side = gan.generator(tf.zeros((1, gan.noise_dim)))[0].shape[1]
    real = tf.random.uniform((gan.batch_size, side, side, 3), -1, 1)
    step = gan.train_step
    if has_decoder:
        # XLA does not support ResizeNearestNeighborGrad.
        step = tf.function(step.python_function)

    def train(steps):
        def run():
            for _ in range(steps):
                step(real)
            gan.train_metrics["g_loss"].result().numpy()  # waits for the steps

        return timed(run)

    train(1)
    return REPORT, {"train": train, "gpu_peak_mb": gpu_peak_mb}


def start_sampling(gan):
    def sample(batch_size, calls):
        def run():
            for _ in range(calls):
                noise = tf.random.normal([batch_size, gan.noise_dim])
                gan.ema_generator(noise, training=False)[0].numpy()

        return timed(run)

    sample(1, 1)
    return REPORT, {"sample": sample}


def official_gan(directory: str, config: dict):
    """Return the authors' `trainer.LadaGAN` with its optimizers, as in their train.py.

    Args:
        directory: their TensorFlow code in a checkout.
        config: contents of their config.py, see `benchmarks.sides.official_config`.
    """
    # Their utils.py imports it only for downloads.
    sys.modules["huggingface_hub"] = types.SimpleNamespace(hf_hub_download=None)
    sys.path.insert(0, directory)
    from model import Discriminator, Generator
    from trainer import LadaGAN
    from utils import get_loss

    conf = types.SimpleNamespace(**config)
    generator = Generator(
        img_size=conf.img_size,
        model_dim=conf.g_dim,
        heads=conf.g_heads,
        mlp_dim=conf.g_mlp,
        dec_dim=conf.dec_dim,
    )
    generator(tf.zeros((conf.batch_size, conf.noise_dim)))
    discriminator = Discriminator(
        img_size=conf.img_size,
        enc_dim=conf.d_enc_dim,
        out_dim=conf.d_out_dim,
        heads=conf.d_heads,
        mlp_dim=conf.d_mlp,
        initializer=conf.d_initializer,
    )
    discriminator(tf.zeros((conf.batch_size, conf.img_size, conf.img_size, 3)))
    gan = LadaGAN(generator=generator, discriminator=discriminator, conf=conf)
    g_loss, d_loss = get_loss(conf.loss)
    adam = tf.keras.optimizers.Adam
    gan.build(
        g_optimizer=adam(conf.g_lr, beta_1=conf.g_beta1, beta_2=conf.g_beta2),
        d_optimizer=adam(conf.d_lr, beta_1=conf.d_beta1, beta_2=conf.d_beta2),
        g_loss=g_loss,
        d_loss=d_loss,
    )
    return gan


if __name__ == "__main__":
    serve(start)
