import numpy as np
import pytest

from lada_tf import evaluation
from lada_tf.errors import UserError
from lada_tf.evaluation.inception_score import chunk_scores
from tests.evaluation.recipes import GOLDEN, logits_case, softmax


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", GOLDEN["inception_score"])
def test_equals_the_reference(name, dtype):
    probabilities = softmax(logits_case(name)).astype(dtype)
    expected = GOLDEN["inception_score"][name]
    # 1e-6: the reference used float64 probabilities; float32 rounds them.
    score = evaluation.inception_score(probabilities)
    assert score == pytest.approx(expected["chunks_of_5000"], rel=1e-6)
    score = evaluation.inception_score(probabilities, splits=10)
    assert score == pytest.approx(expected["10_splits"], rel=1e-6)


def test_a_short_last_chunk_weighs_as_much():
    certain = np.eye(2)[np.arange(5000) % 2]  # scores 2
    uniform = np.full((1000, 2), 0.5)  # scores 1
    score = evaluation.inception_score(np.concatenate([certain, uniform]))
    assert score == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("probabilities", "splits", "message"),
    [
        (np.full((5, 3), 0.5), None, "softmax"),
        ([[1.5, -0.5]], None, "softmax"),
        ([[np.nan, 1.0]], None, "NaN"),
        (np.full((5, 2), 0.5), 6, "splits=6 .* 5 images"),
    ],
)
def test_bad_input(probabilities, splits, message):
    with pytest.raises(UserError, match=message):
        evaluation.inception_score(probabilities, splits)


def test_the_deviation_of_10_splits_is_that_of_the_formula():
    probabilities = softmax(logits_case("b_C10_N50000")[:1000])
    scores = [
        np.exp((part * np.log(part / part.mean(axis=0))).sum(axis=1).mean())
        for part in np.split(probabilities, 10)
    ]
    np.testing.assert_allclose(chunk_scores(probabilities, 10), scores, rtol=1e-12)
