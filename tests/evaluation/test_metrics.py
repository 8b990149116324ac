import dataclasses
import json

import numpy as np
import pytest

from lada_tf.errors import UserError
from lada_tf.evaluation.distances import kid
from lada_tf.evaluation.extract_features import compute_features
from lada_tf.evaluation.image_sets import generated_images, stored_images
from lada_tf.evaluation.memorization_report import (
    MemorizationTest,
    find_memorization,
)
from lada_tf.evaluation.metrics import (
    compute_metrics,
    evaluate_each,
)
from lada_tf.evaluation.protocols import Protocol
from lada_tf.evaluation.reference import compute_reference
from lada_tf.evaluation.reporting import describe_images
from tests.evaluation.fakes import FakeExtractor, FakeSource, fake_generator
from tests.evaluation.recipes import features

NAMES = ["FID", "sFID", "IS", "IS of 10 splits", "IS of 10 splits std", "KID"]
NAMES += ["precision", "recall", "density", "coverage"]


def evaluate(images, *args, **options):
    [record] = evaluate_each([images], *args, **options)
    return record


def measure(images, reference, extractor=None):
    extractor = extractor or FakeExtractor()
    features = compute_features([images], len(images), extractor)
    return compute_metrics(features, reference, extractor)


@pytest.fixture
def reference():
    return compute_reference(FakeSource(), FakeExtractor())


def test_the_same_images_are_at_distance_zero(reference):
    metrics = measure(FakeSource().array, reference)
    assert list(metrics) == NAMES
    # 1e-8: rounding in float64, with traces of 1e5.
    assert metrics["FID"] == pytest.approx(0, abs=1e-8)
    assert metrics["sFID"] == pytest.approx(0, abs=1e-8)
    assert metrics["KID"] < 0  # without bias, for the same images
    assert [metrics[name] for name in NAMES[-4:]] == [1, 1, 1, 1]


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
    assert list(metrics) == [f"{n.replace('FID', 'FD')} (net)" for n in NAMES]


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
    assert list(record["metrics"]) == NAMES
    assert list(record["spread"]) == [n for n in NAMES if not n.endswith("std")]
    assert all(deviation > 0 for deviation in record["spread"].values())
    assert record["spread_of"] == "10 random halves"
    assert "FID of fewer than 10,000 images is biased" in record["note"]
    assert record["kid"] == {"subsets": 1, "subset_size": 60}
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
        ({"num_generated": 3}, "num_generated=3"),
        ({"num_real": 5}, "5 images"),
        ({"num_generated": 61}, "num_generated=61: .* only 60"),
        ({"image_size": 64}, "8x8, .* 64x64"),
        ({"source_images": 50, "name": "x"}, "60 images; protocol=x requires 50"),
        ({"num_real": 61}, "num_real=61: .* only 60"),
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


def test_the_spread_is_that_over_seeds(protocol, tmp_path):
    """Random halves of one set estimate the spread over seeds."""
    protocol = dataclasses.replace(protocol, num_generated=400)
    images = generated_images(fake_generator())
    options = {"cache_dir": str(tmp_path / "cache")}
    halves = evaluate(images, protocol, FakeExtractor(), **options, resamples=30)
    seeds = evaluate(images, protocol, FakeExtractor(), **options, repeats=12)
    assert seeds["spread_of"] == "12 seeds"
    assert halves["num_generated"] == seeds["num_generated"] == 400
    for name in ("FID", "sFID", "IS", "KID", "precision", "density"):
        ratio = halves["spread"][name] / seeds["spread"][name]
        assert 0.4 < ratio < 2.5, name
        difference = abs(halves["metrics"][name] - seeds["metrics"][name])
        assert difference < 4 * seeds["spread"][name], name


def test_stored_images_have_no_seeds(image_set, protocol):
    with pytest.raises(UserError, match="repeats=2: only a model"):
        evaluate(image_set, protocol, FakeExtractor(), repeats=2)


def test_few_images_have_no_spread(image_set, protocol, tmp_path):
    protocol = dataclasses.replace(protocol, num_generated=20)
    record = evaluate(
        image_set, protocol, FakeExtractor(), cache_dir=str(tmp_path / "cache")
    )
    assert record["spread"] == {}
    assert record["spread_of"] is None
    assert "±" not in describe_images(record)


def test_the_spread_of_many_images_is_measured_on_request(
    image_set, protocol, tmp_path, monkeypatch
):
    name = "lada_tf.evaluation.metrics.MAX_RESAMPLED_IMAGES"
    monkeypatch.setattr(name, 59)
    options = {"cache_dir": str(tmp_path / "cache")}
    record = evaluate(image_set, protocol, FakeExtractor(), **options)
    assert record["spread"] == {}
    record = evaluate(image_set, protocol, FakeExtractor(), **options, resamples=2)
    assert record["spread_of"] == "2 random halves"


def test_kid_is_that_of_subsets_of_1000():
    """The unbiased estimate, written as in the paper, for equal subsets."""
    x, y = features(0, 300, 6), features(1, 200, 6, 0.1)

    def kernel(a, b):
        return (a @ b.T / 6 + 1) ** 3

    random = np.random.RandomState(2020)
    values = []
    for _ in range(100):
        a = x[random.choice(300, 200, replace=False)]
        b = y[random.choice(200, 200, replace=False)]
        within = [
            (kernel(s, s).sum() - np.trace(kernel(s, s))) / 200 / 199 for s in (a, b)
        ]
        values.append(sum(within) - 2 * kernel(a, b).mean())
    assert kid(x, y) == pytest.approx((np.mean(values), np.std(values)), rel=1e-9)
    whole, deviation = kid(y, y[::-1])
    assert whole < 0
    assert deviation == 0


@pytest.mark.parametrize("repeats", [1, 2])
def test_memorization_extracts_no_features_twice(protocol, tmp_path, repeats):
    extractor, taken = FakeExtractor(), []
    extract = extractor.extract
    extractor.extract = lambda images: taken.append(len(images)) or extract(images)
    training = FakeSource()
    images = generated_images(fake_generator(), seed=5)
    record = evaluate(
        images,
        dataclasses.replace(protocol, num_generated=50),
        extractor,
        cache_dir=str(tmp_path / "cache"),
        repeats=repeats,
        memorization=MemorizationTest(training, picture=str(tmp_path / "pairs.png")),
    )
    assert sum(taken) == len(training) + repeats * 50
    found = find_memorization(images, 50, extractor, training)
    assert record["memorization"] == {**found.record, "picture": "pairs.png"}
