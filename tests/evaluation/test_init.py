import importlib

import pytest

from lada_tf import evaluation


@pytest.mark.parametrize("name", ["inception_score", "precision_recall"])
def test_a_name_of_a_module_and_its_function(name):
    module = importlib.import_module(f"lada_tf.evaluation.{name}")
    function = getattr(module, name)
    assert callable(function)
    assert getattr(evaluation, name) is function
