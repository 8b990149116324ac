import hashlib

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.evaluation import inception_graph
from lada_tf.evaluation.inception_graph import InceptionGraph
from tests.evaluation import inception_graph_def
from tests.evaluation.recipes import GOLDEN, images


@pytest.fixture(scope="module")
def graph_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / inception_graph.FILE_NAME
    path.write_bytes(inception_graph_def.serialized())
    return path


@pytest.fixture(scope="module")
def sha256(graph_file):
    return hashlib.sha256(graph_file.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def extractor(graph_file, sha256):
    return InceptionGraph(str(graph_file), sha256)


@pytest.mark.slow
@pytest.mark.parametrize("size", [32, 64, 128, 256, 299])
def test_features_equal_the_reference(extractor, size):
    result = extractor(images(100 + size, 2, size))
    golden = GOLDEN["inception_synthetic_weights"][f"img({100 + size},2,{size})"]
    # 5e-5: float32 sums of another framework, 48 layers, values up to 30.
    for values, key in [(result.pool, "2048"), (result.spatial, "sfid_2023")]:
        assert list(values.shape) == golden[key]["shape"]
        np.testing.assert_allclose(values[0, :8], golden[key]["row0_first8"], atol=5e-5)
        np.testing.assert_allclose(values[1, -4:], golden[key]["row1_last4"], atol=5e-5)
        assert values.mean() == pytest.approx(golden[key]["mean"], abs=1e-5)
    assert result.probabilities[0].max() == pytest.approx(
        golden["softmax_logits_unbiased_row0_max"], rel=1e-4
    )
    # Logits without bias, up to the constant that softmax drops.
    logits = np.log(result.probabilities[0, :8])
    expected = golden["logits_unbiased"]["row0_first8"]
    np.testing.assert_allclose(
        logits - logits[0], np.array(expected) - expected[0], atol=1e-4
    )


@pytest.mark.parametrize("size", [64, 256, 299])
def test_the_legacy_resize(extractor, size):
    graph = extractor._session.graph
    resized = extractor._session.run(
        graph.get_tensor_by_name("ResizeBilinear:0"),
        {extractor._images: images(100 + size, 2, size)},
    )
    golden = GOLDEN["resize_to_299"][str(size)]
    for key, (image, row, column) in {
        "px_0_150_150": (0, 150, 150),
        "px_1_298_298": (1, 298, 298),
        "px_0_1_7": (0, 1, 7),
    }.items():
        # 1e-3 of a gray level.
        np.testing.assert_allclose(resized[image, row, column], golden[key], atol=1e-3)


@pytest.mark.slow
def test_an_image_alone_has_the_features_it_has_in_a_batch(extractor):
    batch = images(0, 3, 32)
    together, alone = extractor(batch).pool, extractor(batch[1:2]).pool
    np.testing.assert_allclose(together[1], alone[0], atol=5e-5)  # as above


def test_only_the_public_file_gives_fid(extractor, graph_file, sha256, monkeypatch):
    assert extractor.metric_name("FID") == f"FD (graph {sha256[:12]})"
    assert extractor.metric_name("sFID") == f"sFD (graph {sha256[:12]})"
    monkeypatch.setattr(inception_graph, "SHA256", sha256)
    public = InceptionGraph(str(graph_file), sha256)
    assert public.metric_name("FID") == "FID"


def test_a_missing_file_names_the_file_and_the_flag(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UserError) as error:
        InceptionGraph()
    for words in (str(tmp_path), inception_graph.FILE_NAME, "inception_graph="):
        assert words in str(error.value)


def test_another_file_is_refused(graph_file, sha256):
    with pytest.raises(UserError, match=f"inception_sha256={sha256}"):
        InceptionGraph(str(graph_file))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: inception_graph_def.serialized()[:-1000], id="cut_off"),
        pytest.param(lambda: b"<html>not found</html>", id="a_web_page"),
        pytest.param(
            lambda: tf.Graph().as_graph_def().SerializeToString() + b"", id="empty"
        ),
    ],
)
def test_a_file_that_is_no_such_graph(tmp_path, data):
    path = tmp_path / "graph.pb"
    path.write_bytes(data())
    with pytest.raises(UserError, match="truncated or not the expected"):
        InceptionGraph(str(path))
    with pytest.raises(UserError, match="holds no 2015 Inception graph"):
        InceptionGraph(str(path), hashlib.sha256(data()).hexdigest())
