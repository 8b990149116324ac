"""Facts about a served model; the tests of the servers send requests."""

import pytest

from lada_tf.serving.predictor import Predictor
from lada_tf.serving.saved_model import write_saved_model


@pytest.mark.slow
def test_versions_and_precision(generator, tmp_path):
    for version, precision in (("2", "float32"), ("10", "bfloat16")):
        write_saved_model(generator, tmp_path / version, precision=precision)
    newest, old = Predictor(tmp_path), Predictor(tmp_path / "2")
    assert (newest.version, newest.has_bfloat16) == (10, True)
    assert (old.version, old.has_bfloat16) == (2, False)
