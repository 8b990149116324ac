"""Formats, and paths without a model; test_exporting.py loads real exports."""

import pytest

from lada_tf.errors import UserError
from lada_tf.serving.exported import FORMATS, get_format, load_exported


def test_the_first_precision_is_the_default():
    assert get_format("web") == (FORMATS["web"], "float16")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("tfjs",), "format=tfjs"), (("onnx", "int8"), "precision=int8")],
)
def test_unknown_formats_and_precisions(arguments, message):
    with pytest.raises(UserError, match=message):
        get_format(*arguments)


def test_paths_without_a_model(tmp_path):
    (tmp_path / "README").touch()
    for path in (tmp_path, tmp_path / "README", tmp_path / "missing.onnx"):
        with pytest.raises(UserError, match="no exported model"):
            load_exported(path)
