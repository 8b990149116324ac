import json

import pytest

from lada_tf.errors import UserError
from lada_tf.evaluation import measure
from lada_tf.evaluation.protocols import PROTOCOLS, protocol
from lada_tf.evaluation.reference import compute_reference
from tests.evaluation.fakes import FakeExtractor, FakeSource

# The paper's table: generated images, real images, size, FID.
PAPER = {
    "cifar10_50k": (50_000, 50_000, 32, 3.29),
    "cifar10_10k": (10_000, 10_000, 32, 7.58),
    "celeba64_19k": (19_962, 19_962, 64, 2.89),
    "celeba64_50k": (50_000, 162_770, 64, 1.81),
    "ffhq128_50k": (50_000, 70_000, 128, 4.48),
    "bedroom128_30k": (30_000, 30_000, 128, 5.08),
    "bedroom128_50k": (50_000, 50_000, 128, 4.60),
    "bedroom256_50k": (50_000, 50_000, 256, 6.36),
}


def test_the_table_is_the_papers():
    found = {
        name: (p.num_generated, p.num_real or p.count, p.image_size, p.paper["FID"])
        for name, p in PROTOCOLS.items()
    }
    assert found == PAPER


def test_every_protocol_has_a_source_or_says_what_it_needs():
    for entry in PROTOCOLS.values():
        assert bool(entry.source) != bool(entry.needs)


def test_an_unknown_protocol_lists_the_known():
    with pytest.raises(UserError, match=r"cifar10_50k.*--real=SOURCE"):
        protocol("mnist")


@pytest.fixture
def reference():
    return compute_reference(FakeSource(), FakeExtractor())


def test_the_same_images_are_at_distance_zero(reference):
    metrics = measure.measure([FakeSource().array], 60, reference, FakeExtractor())
    assert list(metrics) == ["FID", "sFID", "IS", "precision", "recall"]
    # Traces of 1e5 in float64.
    assert metrics["FID"] == pytest.approx(0, abs=1e-8)
    assert metrics["sFID"] == pytest.approx(0, abs=1e-8)
    assert (metrics["precision"], metrics["recall"]) == (1, 1)


def test_pool_and_spatial_features_are_not_mixed_up(reference):
    array = FakeSource().array.copy()
    array[:, 2:4, :2] //= 2  # where the fake spatial features are taken
    metrics = measure.measure([array], 60, reference, FakeExtractor())
    assert metrics["FID"] == pytest.approx(0, abs=1e-8)
    assert metrics["sFID"] > 1000


def test_precision_and_recall_are_not_swapped(reference):
    few = FakeSource().array[:2].repeat(30, axis=0)
    metrics = measure.measure([few], 60, reference, FakeExtractor())
    assert metrics["precision"] == 1
    assert metrics["recall"] < 0.1


def test_another_label_is_in_every_name(reference):
    extractor = FakeExtractor(label="net")
    metrics = measure.measure([FakeSource().array], 60, reference, extractor)
    assert list(metrics) == [
        f"{name} (net)" for name in ("FD", "sFD", "IS", "precision", "recall")
    ]


def test_the_record_is_json_and_complete(reference):
    record = json.loads(json.dumps(measure.provenance(reference, FakeExtractor())))
    assert record["reference"] == {
        "source": "fake:0:60",
        "num_images": 60,
        "num_manifold_images": 60,
    }
    assert record["features"] == "inception_graph:fake"
    assert record["precision_recall"] == {"nearest_k": 3, "arithmetic": "float32"}
    assert record["versions"]["tensorflow"]


def test_only_the_same_metric_stands_beside_the_papers():
    text = measure.table({"FID": 3.5, "FD (net)": 1.0}, {"FID": 3.29})
    assert [line.split() for line in text.splitlines()] == [
        ["measured", "paper"],
        ["FID", "3.5000", "3.29"],
        ["FD", "(net)", "1.0000"],
    ]
