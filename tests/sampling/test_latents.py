"""Latents by seed and index."""

import numpy as np

from lada_tf.sampling import latents_of_seed


def test_a_latent_depends_only_on_seed_and_index():
    latents = latents_of_seed(3, 9, 5)
    assert (latents.shape, latents.dtype) == ((9, 5), "float32")
    np.testing.assert_array_equal(latents_of_seed(3, 2, 5), latents[:2])
    assert (latents_of_seed(4, 9, 5) != latents.numpy()).numpy().all()
    assert latents_of_seed(3, 0, 5).shape == (0, 5)
