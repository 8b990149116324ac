"""The authors' LadaGAN, in an environment of their code; imports nothing of ours."""

import sys
import types

import tensorflow as tf


def official_gan(folder: str, config: dict):
    """The authors' `trainer.LadaGAN` with its optimizers, as their train.py makes it.

    Args:
        folder: of their TensorFlow code in a checkout.
        config: what their config.py holds, see `benchmarks.sides.official_config`.
    """
    # Imported by their utils.py for downloads alone.
    sys.modules["huggingface_hub"] = types.SimpleNamespace(hf_hub_download=None)
    sys.path.insert(0, folder)
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
