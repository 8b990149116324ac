"""Versions and inputs of a served model. Tests of the servers send requests."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.serving.predictor import (
    BadRequest,
    Predictor,
    to_array,
)
from lada_tf.serving.saved_model import write_saved_model
from lada_tf.serving.served_model import ServedModel


@pytest.fixture(scope="module")
def exported(generator, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "1"
    write_saved_model(generator, path)
    return path


@pytest.mark.slow
def test_versions_and_precision(generator, exported, tmp_path):
    shutil.copytree(exported, tmp_path / "2")
    write_saved_model(generator, tmp_path / "10", precision="bfloat16")
    newest = ServedModel(tmp_path).current
    old = ServedModel(tmp_path / "2").current
    assert (newest.version, newest.has_bfloat16) == (10, True)
    assert (old.version, old.has_bfloat16) == (2, False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "size"),
    [("variables/variables.data-00000-of-00001", 1000), ("saved_model.pb", 100)],
)
def test_truncated_files(file, size, exported, tmp_path):
    shutil.copytree(exported, tmp_path / "2")
    with (tmp_path / "2" / file).open("r+b") as opened:
        opened.truncate(size)
    with pytest.raises(UserError, match="cannot be loaded"):
        Predictor(tmp_path / "2")


def test_the_newest_version_that_can_be_loaded(tmp_path, monkeypatch, caplog):
    class Fake(Predictor):
        def __init__(self, path):
            if "good" not in (path / "saved_model.pb").read_text():
                raise UserError(f"model={path}: damaged")
            self.path, self.version, self.works = path, int(path.name), True

    def write(version, text):
        path = tmp_path / str(version) / "saved_model.pb"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    monkeypatch.setattr("lada_tf.serving.served_model.Predictor", Fake)
    with pytest.raises(UserError, match=f"model={tmp_path}: "):
        ServedModel(tmp_path)
    write(1, "bad")
    with pytest.raises(UserError, match=f"model={tmp_path}: .*1: damaged"):
        ServedModel(tmp_path)
    assert not caplog.records
    (tmp_path / "²").mkdir()
    (tmp_path / "x").mkdir()
    (tmp_path / "77").write_text("a file")
    for version, text in ((1, "good"), (2, "good"), (3, "bad"), (10, "bad")):
        write(version, text)
    model = ServedModel(tmp_path)
    assert model.find().version == 2
    write(10, "good again")
    model.refresh()  # the files may still change
    assert model.find().version == 2
    model.refresh()
    assert model.find("10").version == 10
    with pytest.raises(BadRequest, match="no version 2"):
        model.find(2)
    write(11, "half of the goo")
    for _ in range(5):
        model.refresh()
    assert model.find().version == 10
    assert len(caplog.records) == 3  # one line per damaged version
    shutil.rmtree(tmp_path / "10")
    model.refresh()
    model.refresh()
    assert model.find().version == 2
    shutil.rmtree(tmp_path)
    model.refresh()
    assert model.find().version == 2


@pytest.mark.slow
def test_readiness_returns_after_an_error(exported, monkeypatch):
    model = ServedModel(exported)
    latents = {"latents": np.zeros((1, 6))}

    def fail(**_):
        raise tf.errors.InternalError(None, None, "the GPU is lost")

    with monkeypatch.context() as patch:
        patch.setitem(model.current.signatures, "attention", fail)
        fail.structured_input_signature = ((), model.current.input_specs("forward"))
        fail.structured_outputs = {"images": None}
        with pytest.raises(tf.errors.InternalError):
            model.current.predict("attention", latents)
    assert not model.current.works
    model.refresh()
    assert model.current.works


@pytest.mark.parametrize(
    "value",
    [
        ["a" * 10**6] + [""] * 10**6,  # 4 TB as an array of texts
        [[1.0], [1.0, 2.0]],
        [[True]],
        [[None]],
        [{}],
        np.array([[b"a"]]),
        np.array([[1j]]),
    ],
)
def test_to_array_takes_numbers_only(value):
    with pytest.raises(BadRequest, match="array of numbers"):
        to_array(value, tf.TensorSpec((None, 1), name="latents"))


@pytest.mark.parametrize("value", [1.5, 2**63, -(2**70), np.uint64(2**63), True, "1"])
def test_to_array_takes_integers_that_fit(value):
    with pytest.raises(BadRequest, match=r"integers|fit into int64"):
        to_array(value, tf.TensorSpec((), tf.int64, name="seed"))
