"""Layers and networks run on Keras' other backends, with the same results."""

import keras
import numpy as np
import pytest

from lada_tf.layers import LadaAttention, Ladaformer
from lada_tf.layers.attentions import NAMES
from tests.models.network_checks import make_discriminator, make_generator
from tests.other_backends import each_backend, fit, run

TOLERANCE = 1e-4  # of the largest value: float32 sums in another order


THERE = """
import keras, lada_tf, numpy as np, pathlib, pytest
from lada_tf.layers import DiffAugment, Ladaformer
from tests.other_backends import fit

folder = pathlib.Path(sys.argv[1])
results = {}
for name, inputs in np.load(folder / "inputs.npz").items():
    network = keras.saving.load_model(folder / f"{name}.keras")
    results[name] = network.predict(inputs, verbose=0)  # one graph: minutes less
    if name == "discriminator":
        with pytest.raises(NotImplementedError, match="KERAS_BACKEND=tensorflow"):
            network(inputs, gradient_checkpointing=True)
network.save(folder / "again.keras")
results["fit"] = fit(keras.saving.load_model(folder / "again.keras"), inputs)
np.savez(folder / "results.npz", **results)
images = keras.random.uniform((2, 32, 32, 3))
assert DiffAugment(seed=0)(images).shape == images.shape
assert "tensorflow" not in {name for name, module in sys.modules.items() if module}
"""


@pytest.mark.slow
@each_backend
def test_another_backend_gives_the_same_results(backend, tmp_path):
    networks = {
        "decoder": (make_generator("decoder"), (6,)),
        "patch": (make_generator("patch"), (6,)),
        "discriminator": (make_discriminator("lada"), (32, 32, 3)),
        "attentions": (attentions(), (16, 8)),
        "classifier": (classifier(), (16, 8)),
    }
    inputs, expected = {}, {}
    for name, (network, shape) in networks.items():
        inputs[name] = np.random.default_rng(0).normal(size=(2, *shape))
        inputs[name] = inputs[name].astype("float32")
        expected[name] = network.predict(inputs[name], verbose=0)
        network.save(tmp_path / f"{name}.keras")
    expected["fit"] = fit(network, inputs[name])
    assert not np.allclose(expected["fit"], expected["classifier"], rtol=0.01)
    np.savez(tmp_path / "inputs.npz", **inputs)
    run(backend, THERE, tmp_path)
    results = np.load(tmp_path / "results.npz")
    for name, value in expected.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(
            results[name], value, rtol=0, atol=TOLERANCE * scale, err_msg=name
        )


def attentions():
    """Return a model with one Ladaformer per attention."""
    x = tokens = keras.Input((16, 8))
    for name in NAMES:
        x = Ladaformer(2, 16, attention=name, norm="layer_norm")(x)
    return keras.Model(tokens, x)


def classifier():
    return keras.Sequential(
        [
            keras.Input((16, 8)),
            LadaAttention(2),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(1),
        ]
    )
