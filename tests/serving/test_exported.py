"""Formats, and paths without a model; test_exporting.py loads real exports."""

import numpy as np
import pytest

from lada_tf.errors import UserError
from lada_tf.serving import exported
from lada_tf.serving.exported import (
    FORMATS,
    ExportedModel,
    get_format,
    load_exported,
)


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


def test_a_missing_package_is_named_with_the_format(monkeypatch):
    monkeypatch.setattr(exported.importlib.util, "find_spec", lambda name: None)
    for name in ("web", "litert"):
        extra = FORMATS[name].extra
        with pytest.raises(UserError, match=rf"format={name}: .*'lada_tf\[{extra}\]'"):
            get_format(name)


class Echo(ExportedModel):
    latent_dim = 6

    def _forward(self, latents):
        return {"images": latents}


@pytest.mark.parametrize("shape", [(1, 7), (6,), (1, 6, 1)])
def test_latents_of_another_width_are_refused(shape):
    assert Echo()(np.zeros((2, 6))).shape == (2, 6)
    with pytest.raises(UserError, match=r"\(n, 6\)"):
        Echo()(np.zeros(shape))
