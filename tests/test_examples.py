"""The scripts of examples/ run as a user would run them, on small networks."""

import csv
import math

import numpy as np
import pytest
import tensorflow as tf

from examples.keras_fit import main
from tests.data.images import picture
from tests.small import SMALL


@pytest.mark.slow
def test_keras_fit(tmp_path):
    (tmp_path / "photos").mkdir()
    for i in range(10):
        picture(i).save(tmp_path / f"photos/{i}.png")
    values = main(tmp_path / "photos", tmp_path / "out", epochs=2, **SMALL)
    rows = list(csv.DictReader((tmp_path / "out/log.csv").open()))
    best = min(rows, key=lambda row: float(row["val_kid"]))
    assert len(rows) == 2
    for name, value in values.items():  # load_model has the features and the weights
        assert float(best[f"val_{name}"]) == pytest.approx(value, rel=1e-4), name
        assert math.isfinite(value)
    exported = tf.saved_model.load(tmp_path / "out/generator")
    assert exported.serve(np.zeros((2, 5), "float32")).shape == (2, 32, 32, 3)
    assert len(list((tmp_path / "out").glob("*.png"))) == 16
