"""A small generator."""

import pytest

from lada_tf.models import Generator


@pytest.fixture(scope="package")
def generator():
    generator = Generator(
        8, widths=(8, 4), num_heads=2, mlp_dim=8, latent_dim=3, base_resolution=4
    )
    generator.build()
    return generator
