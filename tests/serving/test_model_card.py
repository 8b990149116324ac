"""Model cards name the preset that a run started from."""

import dataclasses

import pytest

from lada_tf.models import PRESETS
from lada_tf.serving.model_card import _preset_name


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("tiny", {}, "tiny"),
        ("tiny", {"data": "mine/"}, "tiny"),
        ("cifar10", {"data": "mine/"}, "cifar10"),
        ("bedroom128", {}, "bedroom128"),  # ffhq128 has the same networks
        (
            "tiny",
            {"total_images": 480, "loss": "hinge"},
            "tiny, with other total_images, loss",
        ),
        ("tiny", {"latent_dim": 6}, "custom"),
        ("tiny", {"d_mlp_dim": 6}, "custom"),
    ],
)
def test_the_preset_of_a_run(name, changes, expected):
    assert _preset_name(dataclasses.replace(PRESETS[name], **changes)) == expected
