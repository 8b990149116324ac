"""Training in which a step is not finite: it stops or rolls back."""

import json
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.data import batch_indices, open_source
from lada_tf.data.source import MemorySource
from lada_tf.errors import TrainingDiverged, UserError, WorkerLost
from lada_tf.evaluation import callback
from lada_tf.models import LadaGAN, get_preset
from lada_tf.training import run, trainer
from lada_tf.training.callbacks import ProgressBar
from lada_tf.training.configuration import TrainingOptions
from lada_tf.training.run import SEED_STRIDE
from lada_tf.training.run_directory import RunDirectory, read_metrics
from tests.small import SMALL, assert_equal
from tests.training.run_state import read_state

pytestmark = pytest.mark.usefixtures("eagerly")
BAD_STEP = 3


def train(run_dir, total_images=32, **options):
    options = TrainingOptions(
        log_images=4,
        sample_images=64,
        checkpoint_images=8,
        **options,
    )
    preset = get_preset("tiny", **SMALL, total_images=total_images)
    return trainer.train(preset, open_source("portraits", 32), run_dir, options)


@pytest.fixture
def bad_seeds(monkeypatch):
    """Set of seeds with which step 3 has an infinite loss."""
    seeds = set()
    train_step = LadaGAN.train_step

    def diverging_step(gan, real, with_r1=None):
        metrics = train_step(gan, real, with_r1)
        if gan.steps - 1 == BAD_STEP and gan.seed in seeds:
            metrics["d_loss"] = tf.constant(np.inf)
        return metrics

    monkeypatch.setattr(LadaGAN, "train_step", diverging_step)
    return seeds


@pytest.mark.slow
def test_stop_reports_the_step(tmp_path, bad_seeds):
    bad_seeds.add(0)
    with pytest.raises(TrainingDiverged, match=r"d_loss not finite at step 3; see .*"):
        train(tmp_path / "run")
    (file,) = (tmp_path / "run").glob("nonfinite-*.json")
    facts = json.loads(file.read_text())
    assert (facts["step"], facts["seed"], facts["d_loss"]) == (3, 0, "inf")
    assert facts["d_grad_norm"] > 0
    expected = batch_indices(997, 4, 0, BAD_STEP)
    assert facts["image_indices"] == expected.tolist()
    assert len(set(facts["image_indices"])) == 4
    newest = max((tmp_path / "run" / "checkpoints").iterdir())
    assert newest.name == "images-0000000008"


@pytest.mark.slow
def test_rollback_continues_with_another_seed_and_resumes(tmp_path, bad_seeds):
    bad_seeds.add(0)
    straight = train(tmp_path / "straight", on_nonfinite="rollback")
    assert (straight.steps, straight.seed) == (8, SEED_STRIDE)

    train(tmp_path / "run", total_images=20, on_nonfinite="rollback")
    bad_seeds.clear()
    resumed = train(tmp_path / "run", on_nonfinite="rollback")
    assert resumed.seed == SEED_STRIDE
    assert_equal(straight.get_weights(), resumed.get_weights())
    metrics = [
        (tmp_path / n / "metrics.jsonl").read_text() for n in ("straight", "run")
    ]
    assert metrics[0] == metrics[1]
    assert len(metrics[0].splitlines()) == 8


@pytest.mark.slow
def test_rollbacks_are_limited(tmp_path, bad_seeds):
    bad_seeds.update(SEED_STRIDE * n for n in range(3))
    with pytest.raises(TrainingDiverged, match=r"step 3; .* \(after 2 rollbacks\)"):
        train(tmp_path / "run", on_nonfinite="rollback", max_rollbacks=2)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["rollback", "end"])
def test_a_signal_outside_of_the_steps_is_not_lost(
    tmp_path, bad_seeds, monkeypatch, capsys, moment
):
    def raise_signal(*_, **__):
        moments.append(moment)
        signal.raise_signal(signal.SIGTERM)

    moments, images = [], 4
    if moment == "rollback":
        bad_seeds.add(0)
        monkeypatch.setattr(run.logging, "warning", raise_signal)
        images = 16
    else:
        monkeypatch.setattr(ProgressBar, "close", raise_signal)
    with pytest.raises(SystemExit) as end:
        train(tmp_path / "run", total_images=images, on_nonfinite="rollback")
    assert end.value.code == 128 + signal.SIGTERM
    assert moments == [moment]
    last_line = capsys.readouterr().out.splitlines()[-1]
    assert last_line.endswith(f"lada-tf train --run_dir={tmp_path / 'run'}")


@pytest.mark.slow
def test_a_run_directory_deleted_during_training_is_one_line(tmp_path, monkeypatch):
    def delete(*_, **__):
        shutil.rmtree(tmp_path / "run")

    monkeypatch.setattr(ProgressBar, "on_train_batch_end", delete)
    with pytest.raises(UserError, match=r"run_dir=.* cannot be written"):
        train(tmp_path / "run", total_images=16)
    assert not (tmp_path / "run").exists()


def test_build_rejects_options_that_do_not_fit():
    with pytest.raises(UserError, match=r"^g_heads=5 does not"):
        trainer.build(get_preset("tiny", g_heads=(5,)), TrainingOptions())
    options = TrainingOptions(gradient_accumulation_steps=5)
    with pytest.raises(UserError, match=r"batch_size=16 .*steps=5"):
        trainer.build(get_preset("tiny"), options)


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": 48},
        {"g_heads": (5,)},
        {"d_heads": 5},
        {"g_mlp_dim": (8, 8)},
        {"g_widths": (18, 16, 8)},
        {"d_widths": (8, 8, 8)},
        {"decoder_widths": (8,)},
        {"g_attention": "global"},
        {"d_attention": "module:Class"},
        {"g_initializer": "orthogonaal"},
        {"total_images": 0},
        {"freeze_d": 3},
        {"freeze_d": 1},  # without init_from
    ],
)
def test_a_preset_that_cannot_be_built_is_refused_by_its_field(tmp_path, change):
    (name,) = change
    preset = get_preset("tiny", **change)
    strategy = tf.distribute.get_strategy()
    with pytest.raises(UserError, match=rf"\b{name}=") as error:
        trainer.check(preset, tmp_path / "run", TrainingOptions(), strategy)
    if change == {"freeze_d": 3}:
        assert "2 stages" in str(error.value)


def test_training_does_not_freeze_random_stages(tmp_path):
    preset = get_preset("tiny", **SMALL, total_images=16, freeze_d=1)
    with pytest.raises(UserError, match=r"^freeze_d=1: .*init_from"):
        trainer.train(preset, open_source("portraits", 32), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("function", ["build", "distribution.check_same_state"])
def test_a_worker_lost_before_the_first_step_is_reported(
    tmp_path, monkeypatch, function
):
    def fail(*_):
        raise tf.errors.UnavailableError(None, None, "Connection reset by peer")

    monkeypatch.setattr(f"lada_tf.training.trainer.{function}", fail)
    for count, error in ((2, WorkerLost), (1, tf.errors.UnavailableError)):
        monkeypatch.setattr(trainer.distribution, "count_workers", lambda _, n=count: n)
        monkeypatch.setattr(trainer.distribution, "is_chief", lambda _: True)
        with pytest.raises(error):
            train(tmp_path / "run")


def test_one_image_has_no_distance(tmp_path):
    source = MemorySource(np.zeros((1, 32, 32, 3), np.uint8), "one")
    with pytest.raises(UserError, match=r"^eval_images=8: .* at least 2 images"):
        trainer.train(
            get_preset("tiny"), source, tmp_path / "run", TrainingOptions(eval_images=8)
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("size", [32, 128])
def test_the_features_are_chosen_and_checked_before_training(
    tmp_path, monkeypatch, size
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    preset = get_preset("tiny" if size == 32 else "ffhq128", data="x")
    strategy = tf.distribute.get_strategy()

    def check(**options):
        options = TrainingOptions(eval_images=8, **options)
        trainer.check(preset, tmp_path / "run", options, strategy)

    for features in ("none.onnx", "inception"):
        with pytest.raises(UserError, match=f"^eval_features={features}") as error:
            check(eval_features=features)
        assert "inception_graph" not in str(error.value)
    check(eval_features="small_classifier")
    if size == 32:
        check()
    else:
        with pytest.raises(UserError, match=r"^eval_features .*image_size=128"):
            check()
    trainer.check(preset, tmp_path / "run", TrainingOptions(), strategy)
    assert not (tmp_path / "run").exists()


class Killed(BaseException):
    pass


@pytest.mark.slow
def test_a_run_killed_in_an_evaluation_resumes_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    options = {"eval_images": 4, "eval_samples": 8, "best_by": "kid"}

    expected = train(tmp_path / "whole", 16, **options)
    plain = train(tmp_path / "plain", 16)  # measurements change no step
    assert_equal(expected.weights, plain.weights)
    lines = read_metrics(tmp_path / "whole" / "metrics.jsonl")
    assert sum("KID (small classifier)" in line for line in lines) == 4
    settings = RunDirectory(tmp_path / "whole").settings()
    assert settings["eval_features"] == "small_classifier"

    calls = []

    def kid(*features):
        calls.append(features)
        if len(calls) == 3:
            raise Killed
        return original(*features)

    original, run = callback.kid, tmp_path / "killed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callback, "kid", kid)
        with pytest.raises(Killed):
            train(run, 16, **options)
    train(run, 16, **options)
    assert read_state(run) == read_state(tmp_path / "whole")
