"""Model cards name the preset that a run started from."""

import dataclasses
import json
import shutil

import pytest
from huggingface_hub import ModelCard

from lada_tf.models import PRESETS
from lada_tf.models.presets import get_preset
from lada_tf.serving.model_card import (
    _preset_name,
    _read_evaluation,
    describe_model,
    describe_run,
)
from lada_tf.training import load_run
from lada_tf.training.run_directory import RunDirectory
from tests.serving.conftest import EVERY_OPERATION


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


def test_the_hub_reads_the_results(gan, tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.start(get_preset("tiny", **EVERY_OPERATION, data="tfds:cifar10"), {"seed": 0})
    metrics = {"FID": 3.29, "FD (small classifier)": 1.25}
    record = {"metrics": metrics, "spread": {"FID": 0.03}}
    (tmp_path / "record.json").write_text(json.dumps(record))
    card = ModelCard(describe_run(run.path, gan, tmp_path / "record.json"))
    assert card.data.datasets == ["uoft-cs/cifar10"]
    assert card.data.model_name == "LadaGAN, tfds:cifar10, 32×32"
    results = {r.metric_type: r.metric_value for r in card.data.eval_results}
    assert results == {"fid": 3.29, "fd_small_classifier": 1.25}
    assert {r.dataset_type for r in card.data.eval_results} == {"uoft-cs/cifar10"}


def test_cards_have_no_unknown_metadata(gan, run_dir):
    for text in (describe_model(gan), describe_run(run_dir, gan)):
        card = ModelCard(text)
        assert card.data.pipeline_tag == "unconditional-image-generation"
        assert {"lada_tf", "gan"} <= set(card.data.tags)
        assert card.data.eval_results is None
        assert card.data.datasets is None
        assert "$" not in text.replace("$usage", "").replace("$fidelity", "")


def test_a_model_of_a_run_has_the_card_of_the_run(run_dir):
    gan = load_run(run_dir)
    assert describe_model(gan) == describe_run(run_dir, gan)
    gan.image_counter.assign_add(1)  # it was trained, perhaps on other data
    assert "portraits" not in describe_model(gan)


def test_a_model_can_be_described_after_its_run_is_deleted(run_dir, tmp_path):
    copy = shutil.copytree(run_dir, tmp_path / "run")
    gan = load_run(copy)
    shutil.rmtree(copy)
    assert "portraits" not in describe_model(gan)
