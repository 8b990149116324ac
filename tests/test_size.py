"""The package stays small, and its main modules can be read on their own."""

import pytest

from tests.imports import MODULES, files_reached_by


@pytest.mark.parametrize(
    ("module", "most"),
    [
        ("lada_tf.layers.lada_attention", 4),
        ("lada_tf.models.generator", 19),
        ("lada_tf.models.lada_gan", 37),
    ],
)
def test_a_module_can_be_read_without_many_others(module, most):
    reached = files_reached_by(module)
    assert len(reached) <= most, sorted(reached)


def test_number_of_modules():
    assert len(MODULES) <= 138
