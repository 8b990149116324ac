"""Settings of all tests: quiet TensorFlow, and the same random numbers every time."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest
import tensorflow as tf

from lada_tf.runtime import without_grappler

# On a GPU too: what they compare with was computed so.
tf.config.experimental.enable_tensor_float_32_execution(False)

# Files whose few tests take minutes begin first, or one process would be left alone
# with them at the end.
LONG = {"test_workers.py", "test_distribution.py", "test_apps.py"}


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture
def as_traced():
    """Graphs run as they were traced, as training runs them, and start sooner."""
    with without_grappler():
        yield


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)
    yield
    keras.mixed_precision.set_global_policy("float32")
