"""Model cards name the preset that a run started from."""

import dataclasses
import json

import pytest

from lada_tf.models import PRESETS
from lada_tf.serving.model_card import _preset_name, _read_evaluation


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


def test_the_card_holds_the_spread(tmp_path):
    record = {"metrics": {"FID": 3.29, "KID std": 2e-4}, "spread": {"FID": 0.0312}}
    (tmp_path / "record.json").write_text(json.dumps(record))
    metrics, source, _ = _read_evaluation(tmp_path / "record.json")
    assert metrics == {"FID": "3.29 ± 0.031", "KID std": "0.0002"}
    assert json.dumps(record) in source


def test_the_card_holds_the_figures_on_memorization(tmp_path):
    found = {
        "num_generated": 50,
        "num_training": 200,
        "exact_copies": 3,
        "near_copies": 0,
        "mirrored_copies": 1,
        "AuthPct": 94.0,
    }
    record = {"metrics": {"FID": 1.0}, "memorization": found}
    (tmp_path / "record.json").write_text(json.dumps(record))
    _, _, text = _read_evaluation(tmp_path / "record.json")
    assert "Exact copies: 3" in text
    assert "Near copies: none found by this test" in text
    assert "AuthPct: 94.00 %" in text
