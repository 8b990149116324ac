"""Training that meets steps which are not finite."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from lada_tf.data import batch_indices, open_source
from lada_tf.errors import TrainingDiverged
from lada_tf.models import LadaGAN, get_preset
from lada_tf.models.lada_gan import METRICS
from lada_tf.training import trainer
from lada_tf.training.loop import Loop, NonFiniteStep
from lada_tf.training.options import TrainingOptions
from lada_tf.training.trainer import SEEDS_APART

SMALL = {
    "g_widths": (8, 8, 8),
    "d_widths": (4, 8),
    "d_out_widths": (8, 8),
    "g_mlp_dim": (8,),
    "d_mlp_dim": 8,
    "batch_size": 4,
}
BAD_STEP = 3


def train(run_dir, total_images=32, **options):
    options = TrainingOptions(
        log_images=4,
        sample_images=64,
        checkpoint_images=8,
        jit_compile=False,
        **options,
    )
    preset = get_preset("tiny", **SMALL, total_images=total_images)
    return trainer.train(preset, open_source("portraits", 32), run_dir, options)


@pytest.fixture(autouse=True)
def _eagerly():
    tf.config.run_functions_eagerly(True)  # tracing takes longer than the few steps
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def bad_seeds(monkeypatch):
    """Seeds of which step 3 is to have an infinite loss."""
    seeds = set()
    step = LadaGAN.step

    def unfortunate(gan, real):
        values, finite = step(gan, real)
        if gan.steps - 1 == BAD_STEP and gan.seed in seeds:
            values = tf.where(np.array(METRICS) == "d_loss", np.inf, values)
            finite = tf.constant(False)
        return values, finite

    monkeypatch.setattr(LadaGAN, "step", unfortunate)
    return seeds


def test_by_default_training_stops_and_tells_of_the_step(tmp_path, bad_seeds):
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


def test_a_rollback_goes_on_with_another_seed_and_survives_the_process(
    tmp_path, bad_seeds
):
    bad_seeds.add(0)
    straight = train(tmp_path / "straight", on_nonfinite="rollback")
    assert (straight.steps, straight.seed) == (8, SEEDS_APART)

    train(tmp_path / "run", total_images=20, on_nonfinite="rollback")
    bad_seeds.clear()
    resumed = train(tmp_path / "run", on_nonfinite="rollback")
    assert resumed.seed == SEEDS_APART
    for a, b in zip(straight.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    metrics = [
        (tmp_path / n / "metrics.jsonl").read_text() for n in ("straight", "run")
    ]
    assert metrics[0] == metrics[1]
    assert len(metrics[0].splitlines()) == 8


def test_rollbacks_are_numbered(tmp_path, bad_seeds):
    bad_seeds.update(SEEDS_APART * n for n in range(3))
    with pytest.raises(TrainingDiverged, match=r"step 3; .* \(after 2 rollbacks\)"):
        train(tmp_path / "run", on_nonfinite="rollback", max_rollbacks=2)


def test_a_call_of_several_steps_ends_at_the_one_that_is_not_finite(bad_seeds):
    bad_seeds.add(0)
    preset = get_preset("tiny", **SMALL)
    gan = trainer.build(preset, TrainingOptions(overlap=False))
    real = tf.data.Dataset.from_tensors(tf.zeros((4, 32, 32, 3))).repeat()
    told = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda number, logs: batches.append(number)
    )
    batches: list[int] = []
    loop = Loop(gan, tf.distribute.get_strategy(), jit_compile=False)
    loop._next_size = lambda size, seconds: 2 * size
    with pytest.raises(NonFiniteStep, match="d_loss not finite at step 3"):
        loop.run(real, 8, [told], steps_to_act=lambda: 8)
    assert batches == [0, 2]  # the ends of calls of 1 and 2 steps; 4 more were begun
    assert gan.steps == BAD_STEP + 1
    # Graphs of others are still optimized.
    assert not tf.config.optimizer.get_experimental_options()["disable_meta_optimizer"]
