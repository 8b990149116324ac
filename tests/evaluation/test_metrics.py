import dataclasses
import json

import numpy as np
import pytest

from lada_tf.errors import UserError
from lada_tf.evaluation.extract_features import compute_features
from lada_tf.evaluation.image_sets import stored_images
from lada_tf.evaluation.metrics import compute_metrics, evaluate, format_table
from lada_tf.evaluation.protocols import Protocol
from lada_tf.evaluation.reference import compute_reference
from tests.evaluation.fakes import FakeExtractor, FakeSource


def measure(images, reference, extractor=None):
    extractor = extractor or FakeExtractor()
    features = compute_features([images], len(images), extractor)
    return compute_metrics(features, reference, extractor)


@pytest.fixture
def reference():
    return compute_reference(FakeSource(), FakeExtractor())


def test_the_same_images_are_at_distance_zero(reference):
    metrics = measure(FakeSource().array, reference)
    assert list(metrics) == ["FID", "sFID", "IS", "precision", "recall"]
    # 1e-8: rounding in float64, with traces of 1e5.
    assert metrics["FID"] == pytest.approx(0, abs=1e-8)
    assert metrics["sFID"] == pytest.approx(0, abs=1e-8)
    assert (metrics["precision"], metrics["recall"]) == (1, 1)


def test_pool_and_spatial_features_are_not_mixed_up(reference):
    array = FakeSource().array.copy()
    array[:, 2:4, :2] //= 2  # where the fake spatial features are taken
    metrics = measure(array, reference)
    assert metrics["FID"] == pytest.approx(0, abs=1e-8)
    assert metrics["sFID"] > 1000


def test_precision_and_recall_are_not_swapped(reference):
    few = FakeSource().array[:2].repeat(30, axis=0)
    metrics = measure(few, reference)
    assert metrics["precision"] == 1
    assert metrics["recall"] < 0.1


def test_another_label_is_in_every_name(reference):
    extractor = FakeExtractor(label="net")
    metrics = measure(FakeSource().array, reference, extractor)
    assert list(metrics) == [
        f"{name} (net)" for name in ("FD", "sFD", "IS", "precision", "recall")
    ]


@pytest.fixture
def image_set(tmp_path):
    np.save(tmp_path / "generated.npy", FakeSource(seed=1).array)
    return stored_images(str(tmp_path / "generated.npy"))


@pytest.fixture
def protocol(tmp_path):
    np.save(tmp_path / "real.npy", FakeSource().array)
    return Protocol(None, None, {}, real=str(tmp_path / "real.npy"))


def test_the_record_is_json_and_complete(image_set, protocol, tmp_path):
    record = evaluate(
        image_set, protocol, FakeExtractor(), cache_dir=str(tmp_path / "cache")
    )
    record = json.loads(json.dumps(record))
    assert list(record["metrics"]) == ["FID", "sFID", "IS", "precision", "recall"]
    assert record["num_generated"] == 60
    assert record["images"].startswith("npy:")
    assert record["reference"].pop("source").startswith("npy:")
    assert record["reference"] == {"num_images": 60, "num_manifold_images": 60}
    assert record["features"] == "inception_graph:fake"
    assert record["precision_recall"] == {"nearest_k": 3, "arithmetic": "float64"}
    assert record["versions"]["tensorflow"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_generated": 61}, "61 generated images .* only 60"),
        ({"image_size": 64}, "8x8, .* 64x64"),
        ({"source_images": 50, "name": "x"}, "60 images; protocol=x requires 50"),
        ({"num_real": 61}, "needs 61 images"),
    ],
)
def test_bad_sizes_and_numbers(image_set, protocol, tmp_path, changes, message):
    protocol = dataclasses.replace(protocol, **changes)
    with pytest.raises(UserError, match=message):
        evaluate(image_set, protocol, FakeExtractor(), cache_dir=str(tmp_path))


def test_an_unlimited_set_needs_a_number(image_set, protocol):
    unlimited = dataclasses.replace(image_set, num_images=None)
    with pytest.raises(UserError, match="num_generated=N"):
        evaluate(unlimited, protocol, FakeExtractor())


def test_only_the_same_metric_stands_beside_the_papers():
    text = format_table({"FID": 3.5, "FD (net)": 1.0}, {"FID": 3.29})
    assert [line.split() for line in text.splitlines()] == [
        ["measured", "paper"],
        ["FID", "3.5000", "3.29"],
        ["FD", "(net)", "1.0000"],
    ]
