"""Random latents, identified by seed and index."""

import tensorflow as tf


def latents_of_seed(
    seed: int | tf.Tensor, count: int | tf.Tensor, latent_dim: int
) -> tf.Tensor:
    """Return the first `count` latents of a seed.

    Latents are standard normal. Latent i depends only on the seed and on i: it is the
    same in every batch, process and SavedModel.

    Args:
        seed: int or int64 scalar tensor.
        count: int or int scalar tensor.
        latent_dim: length of a latent.

    Returns:
        A float32 tensor (count, latent_dim).
    """
    seed = tf.cast(seed, tf.int64)

    def latent(index):
        # The default algorithm, "auto_select", depends on the device.
        return tf.random.stateless_normal(
            (latent_dim,), tf.stack([seed, index]), alg="philox"
        )

    indices = tf.range(tf.cast(count, tf.int64))
    latents = tf.map_fn(latent, indices, fn_output_signature=tf.float32)
    return tf.reshape(latents, (-1, latent_dim))  # map_fn loses the shape if count is 0
