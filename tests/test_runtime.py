"""Process-wide state: contexts restore it, and commands print no TensorFlow log."""

import gc
import os
import subprocess
import sys
import tempfile

import pytest
import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.runtime import (
    import_tensorflow_quietly,
    without_garbage_collection,
    without_grappler,
    without_tf32,
)


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
def test_importing_the_package_registers_our_classes():
    code = "import lada_tf, keras; print(*keras.saving.get_custom_objects())"
    assert "lada_tf>LadaGAN" in run("-c", code).stdout.split()
