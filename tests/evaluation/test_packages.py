"""KID, IS, density and coverage equal those of other packages."""

import importlib
import json

import pytest

from lada_tf import evaluation
from lada_tf.evaluation.inception_score import chunk_scores
from tests.evaluation.recipes import (
    DATA,
    frechet_case,
    logits_case,
    manifold_case,
    softmax,
)

PACKAGES = json.loads((DATA / "packages.json").read_text())


@pytest.mark.slow  # 100 subsets of 1,000
@pytest.mark.parametrize("name", PACKAGES["kid"])
def test_kid_equals_torch_fidelity(name):
    result = evaluation.kernel_distance(*frechet_case(name))
    assert result == pytest.approx(PACKAGES["kid"][name], abs=1e-9)


@pytest.mark.parametrize("name", PACKAGES["inception_score"])
def test_the_split_inception_score_equals_torch_fidelity(name):
    scores = chunk_scores(softmax(logits_case(name)), 10)
    expected = PACKAGES["inception_score"][name]
    assert (scores.mean(), scores.std()) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", PACKAGES["density_coverage"])
def test_density_and_coverage_equal_prdc(monkeypatch, name):
    module = importlib.import_module("lada_tf.evaluation.precision_recall")
    monkeypatch.setattr(module, "BLOCK_ROWS", 777)  # several blocks
    result = evaluation.density_coverage(*manifold_case(name))
    assert result == pytest.approx(PACKAGES["density_coverage"][name], abs=1e-9)
