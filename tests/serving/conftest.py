"""A generator and a run directory to export."""

import importlib.util

import numpy as np
import pytest

from lada_tf.models import LadaGAN
from lada_tf.models.presets import get_preset
from lada_tf.training.checkpoints import Checkpoints
from lada_tf.training.run_directory import RunDirectory

# `make test-serving` and `make test-browser` install the packages of these tests.
NEEDS = {"servers": "tensorflow_serving", "browser": "playwright"}
collect_ignore = [
    folder for folder, name in NEEDS.items() if not importlib.util.find_spec(name)
]

# The decoder head contains the operations of the other output heads.
EVERY_OPERATION = {
    "image_size": 32,
    "base_resolution": 4,
    "g_widths": (16, 8),
    "output_head": "decoder",
    "decoder_widths": (8, 4),
    "g_heads": (2, 4),
    "g_mlp_dim": (16,),
    "latent_dim": 6,
    "score": "per_head",
    "d_widths": (4, 8),
    "d_out_widths": (8, 8),
    "d_mlp_dim": 8,
}


@pytest.fixture(scope="session")
def gan():
    """A `LadaGAN` with random weights and batch statistics, as after training."""
    gan = LadaGAN.from_preset("tiny", **EVERY_OPERATION)
    random = np.random.default_rng(0)
    for weight in gan.ema_generator.weights:
        if "moving_variance" in weight.path:
            weight.assign(random.uniform(0.5, 2, weight.shape))
        elif "moving_mean" in weight.path or "bias" in weight.path:
            weight.assign(random.normal(0, 0.3, weight.shape))
    gan.compile()
    return gan


@pytest.fixture(scope="session")
def generator(gan):
    return gan.ema_generator


@pytest.fixture(scope="session")
def run_dir(gan, tmp_path_factory):
    run = RunDirectory(tmp_path_factory.mktemp("runs") / "small")
    fingerprint = "portraits:0123:32px:plain:997"
    run.start(get_preset("tiny", **EVERY_OPERATION), {"seed": 0}, fingerprint)
    Checkpoints(run.checkpoints, gan).save()
    return run.path
