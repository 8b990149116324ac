"""Latents by seed and index."""

import tensorflow as tf


def latents_of_seed(seed, count, latent_dim):
    """Standard normal latents; number i depends on the seed and i alone.

    Args:
        seed: int or int64 scalar tensor.
        count: int or int scalar tensor, n.
        latent_dim: int.

    Returns:
        A float32 tensor (n, latent_dim): the first n of the seed's endless list. It is
        the same in every batch, process and exported format.
    """
    seed = tf.cast(seed, tf.int64)

    def draw(index):
        # Philox: "auto_select" would draw other numbers on other devices.
        return tf.random.stateless_normal(
            (latent_dim,), tf.stack([seed, index]), alg="philox"
        )

    indices = tf.range(tf.cast(count, tf.int64))
    latents = tf.map_fn(draw, indices, fn_output_signature=tf.float32)
    return tf.reshape(latents, (-1, latent_dim))  # also where n is 0
