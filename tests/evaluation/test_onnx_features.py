"""ONNX files with inputs of many kinds, whose features are known."""

import numpy as np
import pytest

from lada_tf.errors import UserError
from lada_tf.evaluation.extract_features import open_extractor
from tests.evaluation.recipes import images

onnx = pytest.importorskip("onnx")
SIZE = 8


def save(
    path,
    shape=("n", 3, "h", "w"),
    dtype="FLOAT",
    outputs=("out",),
    axes=(2, 3),
    metadata=None,
):
    """Write a model that averages its input over `axes`."""
    types = onnx.TensorProto
    make = onnx.helper
    nodes = [
        make.make_node("Cast", ["x"], ["y"], to=types.FLOAT),
        make.make_node("ReduceMean", ["y"], ["z"], axes=axes, keepdims=0),
        *(make.make_node("Identity", ["z"], [name]) for name in outputs),
    ]
    graph = make.make_graph(
        nodes,
        "g",
        [make.make_tensor_value_info("x", getattr(types, dtype), shape)],
        [make.make_tensor_value_info(name, types.FLOAT, None) for name in outputs],
    )
    opsets = [make.make_opsetid("", 13)]
    model = make.make_model(graph, opset_imports=opsets, ir_version=8)
    make.set_model_props(model, metadata or {})
    onnx.save(model, path := str(path / "model.onnx"))
    return path


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ({}, None),
        ({"shape": (1, 3, SIZE, SIZE)}, None),
        ({"shape": (4, 3, SIZE, SIZE)}, None),
        ({"shape": ("n", "h", "w", 3), "axes": (1, 2)}, None),
        ({"shape": ("n", "c", "h", "w")}, "layout=nchw"),
        ({"shape": ("n", "c", "h", "w"), "metadata": {"layout": "NCHW"}}, None),
        ({"dtype": "UINT8"}, None),
        ({"dtype": "FLOAT16"}, None),
        ({"axes": (3,)}, None),  # "tokens" of (n, 3, h): averaged over the 3
        ({"outputs": ("other", "pooler_output")}, None),
        ({"outputs": ("other", "more")}, "output=more"),
    ],
)
def test_inputs_and_outputs(tmp_path, model, settings):
    batch = images(0, 7, SIZE)
    extractor = open_extractor(save(tmp_path, **model), features_input=settings)
    expected = batch.mean(axis=(1, 2))
    if model.get("axes") == (3,):
        expected = batch.mean(axis=(2, 3))
    # float16 has 10 bits.
    np.testing.assert_allclose(extractor(batch).pool, expected, rtol=1e-3)
    assert extractor.metric_name("FID") == "FD (model)"


@pytest.mark.parametrize(
    ("metadata", "settings", "function"),
    [
        ({}, "range=0,1", lambda x: x / 255),
        ({"range": "[-1, 1]"}, None, lambda x: x / 127.5 - 1),
        ({"Image.NominalPixelRange": "Normalized_0_1"}, None, lambda x: x / 255),
        (
            {"range": "0,1", "mean": "0.1,0.2,0.3", "std": "2,4,8"},
            None,
            lambda x: (x / 255 - [0.1, 0.2, 0.3]) / [2, 4, 8],
        ),
        ({"range": "0,255"}, "range=0,1", lambda x: x / 255),
    ],
)
def test_range_and_normalization(tmp_path, metadata, settings, function):
    batch = images(0, 3, SIZE)
    path = save(tmp_path, metadata=metadata)
    extractor = open_extractor(path, features_input=settings)
    expected = function(batch).mean(axis=(1, 2))
    np.testing.assert_allclose(extractor(batch).pool, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [("n", 3, 8, 4), ("n", 3, "h", "w")])
def test_images_are_resized_to_the_input(tmp_path, shape):
    batch = images(0, 2, 1).repeat(32, axis=1).repeat(32, axis=2)
    path = save(tmp_path, shape, axes=(2,))
    settings = None if shape[2] == 8 else "size=4"
    values = open_extractor(path, features_input=settings)(batch).pool
    assert values.shape == (2, 4)
    np.testing.assert_allclose(
        values, np.tile(batch[:, 0, 0].mean(1)[:, None], 4), rtol=1e-5
    )


def test_the_identity_covers_all_that_changes_features(tmp_path):
    def identity(settings=None, **model):
        return open_extractor(save(tmp_path, **model), features_input=settings).identity

    found = [
        identity(),
        identity("range=0,1"),
        identity("std=1,1,2"),
        identity("size=16"),
        identity(axes=(2, 3), outputs=("b",)),
    ]
    (tmp_path / "model.onnx.data").write_bytes(b"weights")
    found.append(identity())
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (
            {"shape": ("n", 5), "axes": (1,)},
            None,
            r"needs one input of images.*\('n', 5\)",
        ),
        ({"shape": ("n", 1, 8, 8)}, None, "layout=nchw or layout=nhwc"),
        ({"shape": ("n", 1, 8, 8)}, "layout=nchw", "1 channels"),
        ({"shape": ("n", 3, 8, 3)}, None, "layout=nchw or layout=nhwc"),
        ({"dtype": "INT64"}, None, "int64"),
        ({"dtype": "UINT8"}, "range=0,1", "Leave out range"),
        ({"shape": ("n", 3, 8, 8)}, "size=9", "size=9 does not fit"),
        ({}, "size=0", "size=0 does not fit"),
        ({}, "std=0,1,1", "must not be 0"),
        ({}, "mean=1,2", "mean=1,2: expected 3"),
        ({}, "range=0,x", "range=0,x: expected 2"),
        ({}, "scale=2", "features_input=scale=2: 'scale'"),
        ({}, "range", "features_input=range: 'range'"),
        ({"outputs": ("a", "b")}, None, "set output .* a, b"),
        ({}, "output=z", "set output"),
        ({"metadata": {"mean": "imagenet"}}, None, "mean=imagenet: expected 3"),
        ({"metadata": {"Image.NominalPixelRange": "x"}}, None, "unknown pixel range x"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, model, settings, message):
    with pytest.raises(UserError, match=message):
        open_extractor(save(tmp_path, **model), features_input=settings)


def test_files_that_are_no_onnx_files(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"text")
    for name, message in (("bad.onnx", "ONNX file"), ("none.onnx", "does not exist")):
        with pytest.raises(UserError, match=f"{name}.* {message}"):
            open_extractor(str(tmp_path / name))
    with pytest.raises(
        UserError, match=r"features_input=size=8: only for \.onnx files"
    ):
        open_extractor("small_classifier", features_input="size=8")


def test_a_model_that_fails_is_one_line(tmp_path):
    extractor = open_extractor(save(tmp_path, axes=(0, 1, 2, 3)))
    with pytest.raises(UserError, match="not one vector per image"):
        extractor(images(0, 2, SIZE))
