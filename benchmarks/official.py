"""The authors' code as a benchmark's worker; runs in an environment of its own.

Settings: `path`, the folder of their TensorFlow code in a checkout; `task`, `train` or
`sample`; `conf`, what their config.py holds, for one of our presets. Their classes are
made and called as by their train.py and trainer.py.
"""

import sys
import types

import tensorflow as tf

from benchmarks.worker import serve, timed


def start(settings):
    sys.path.insert(0, settings["path"])
    # Imported by their utils.py for downloads alone.
    sys.modules["huggingface_hub"] = types.SimpleNamespace(hf_hub_download=None)
    gan = make_gan(types.SimpleNamespace(**settings["conf"]))
    return {"train": start_training, "sample": start_sampling}[settings["task"]](gan)


def start_training(gan):
    side = gan.generator(tf.zeros((1, gan.noise_dim)))[0].shape[1]
    real = tf.random.uniform((gan.batch_size, side, side, 3), -1, 1)

    def train(steps):
        def run():
            for _ in range(steps):
                gan.train_step(real)
            gan.train_metrics["g_loss"].result().numpy()  # waits

        return timed(run)

    return first_of(train(1)), {"train": train}


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


def make_gan(conf):
    from model import Discriminator, Generator
    from trainer import LadaGAN
    from utils import get_loss

    generator = Generator(
        img_size=conf.img_size,
        model_dim=conf.g_dim,
        heads=conf.g_heads,
        mlp_dim=conf.g_mlp,
        dec_dim=conf.dec_dim,
    )
    generator(tf.random.normal([conf.batch_size, conf.noise_dim]))
    discriminator = Discriminator(
        img_size=conf.img_size,
        enc_dim=conf.d_enc_dim,
        out_dim=conf.d_out_dim,
        heads=conf.d_heads,
        mlp_dim=conf.d_mlp,
    )
    discriminator(tf.ones([conf.batch_size, conf.img_size, conf.img_size, 3]))
    gan = LadaGAN(generator=generator, discriminator=discriminator, conf=conf)
    g_loss, d_loss = get_loss(conf.loss)
    adam = tf.keras.optimizers.Adam
    gan.build(
        g_optimizer=adam(conf.g_lr, *conf.g_betas),
        d_optimizer=adam(conf.d_lr, *conf.d_betas),
        g_loss=g_loss,
        d_loss=d_loss,
    )
    return gan


if __name__ == "__main__":
    serve(start)
