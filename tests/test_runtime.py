"""Process-wide state: contexts restore it, and commands print no TensorFlow log."""

import gc
import os
import subprocess
import sys
import tempfile

import pytest
import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.models import LadaGAN
from lada_tf.runtime import (
    import_tensorflow_quietly,
    without_garbage_collection,
    without_grappler,
    without_tf32,
)
from tests.small import SMALL


def grappler_enabled():
    options = tf.config.optimizer.get_experimental_options()
    return not options.get("disable_meta_optimizer", False)


def tf32_enabled():
    return tf.config.experimental.tensor_float_32_execution_enabled()


@pytest.mark.parametrize(
    ("context", "is_enabled"),
    [
        (without_garbage_collection, gc.isenabled),
        (without_grappler, grappler_enabled),
        (without_tf32, tf32_enabled),
    ],
)
def test_contexts_nest_and_restore(context, is_enabled):
    before = is_enabled()
    with context():
        assert not is_enabled()
        with context():
            pass
        assert not is_enabled()
    assert is_enabled() == before


def test_commands_run_on_tensorflow(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    import_tensorflow_quietly()
    assert os.environ["KERAS_BACKEND"] == "tensorflow"


def run(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True
    )


def test_commands_print_no_tensorflow_log():
    result = run("-m", "lada_tf.prepare_data", "--help")
    assert "--image_size" in result.stdout
    assert result.stderr == ""


def test_a_missing_temporary_directory_is_named(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/absent"])
    with pytest.raises(UserError, match=r"'/absent'.*TMPDIR"):
        import_tensorflow_quietly()


@pytest.mark.slow
def test_keras_loads_our_models_once_the_package_is_imported(tmp_path):
    gan = LadaGAN.from_preset("tiny", **SMALL)
    gan.compile()
    gan.save(tmp_path / "gan.keras")
    code = """
import sys, lada_tf, keras
assert "lada_tf.models" not in sys.modules
print(type(keras.saving.load_model(sys.argv[1])).__name__)
"""
    assert run("-c", code, tmp_path / "gan.keras").stdout == "LadaGAN\n"
