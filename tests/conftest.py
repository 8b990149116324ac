"""Settings of all tests: quiet TensorFlow, and the same random numbers every time."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest
import tensorflow as tf

from lada_tf.runtime import without_grappler

# The expected values were computed without TF32. This matters on GPUs only.
tf.config.experimental.enable_tensor_float_32_execution(False)

# Start the files that take minutes first, so that none of them runs alone at the end.
LONG = {
    "test_workers.py",
    "test_distribution.py",
    "test_commands.py",
    "test_apps.py",
    "test_lada_gan.py",
    "test_optimizer_step.py",
    "test_official_checkpoint.py",
    "test_fit.py",
    "test_rows.py",
}


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture
def as_traced():
    """Run graphs as they were traced, as training does on CPUs. They start sooner."""
    with without_grappler():
        yield


@pytest.fixture
def eagerly():
    """Run no graphs. Tracing one takes longer than a few small steps."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.fixture
def fake_hub(tmp_path, monkeypatch):
    """A Hugging Face Hub on this machine, see tests/fake_hub.py."""
    from tests import fake_hub  # imports huggingface_hub

    with fake_hub.serve(tmp_path / "hf_home", monkeypatch) as hub:
        yield hub
