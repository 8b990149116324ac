import numpy as np
import pytest

from lada_tf import evaluation
from lada_tf.errors import UserError
from tests.evaluation.recipes import GOLDEN, features, frechet_case

CASES = {
    "d64": ("d64", 10, 100),
    "identical": ("identical_d64", 10, 100),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_the_reference(name):
    case, subsets, size = CASES[name]
    result = evaluation.kernel_distance(*frechet_case(case), subsets, size)
    # 1e-12: float64 sums of 1e6 kernel values of order 1.
    assert result == pytest.approx(GOLDEN["kernel"][name], abs=1e-12)


def test_bad_input():
    with pytest.raises(UserError, match="at least 1000 images"):
        evaluation.kernel_distance(features(0, 999, 4), features(1, 2000, 4))
    with pytest.raises(UserError, match="subset_size=1 "):
        evaluation.kernel_distance(np.ones((9, 4)), np.ones((9, 4)), 1, 1)
