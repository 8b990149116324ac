"""Run source in a process of another Keras backend, in which TensorFlow is absent."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

# Keras and others import what they find, so hiding it must come first.
PRELUDE = """
import sys
sys.modules["tensorflow"] = None  # an import raises ModuleNotFoundError
"""

each_backend = pytest.mark.parametrize(
    "backend",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                not importlib.util.find_spec(name), reason=f"{name} is not installed"
            ),
        )
        for name in ("jax", "torch")
    ],
)


def run(backend, source, *arguments) -> None:
    """Run the source on the backend, and check that it succeeds."""
    subprocess.run(
        [sys.executable, "-c", PRELUDE + source, *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
    )


def fit(model, inputs):
    """Train for one step. Return the predictions."""
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(inputs, np.zeros((len(inputs), 1), "float32"), verbose=0)
    return model.predict(inputs, verbose=0)
