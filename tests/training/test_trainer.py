"""Training that meets steps which are not finite."""

import json

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.data import batch_indices, open_source
from lada_tf.errors import TrainingDiverged
from lada_tf.models import get_preset
from lada_tf.models.lada_gan import METRICS
from lada_tf.training import trainer
from lada_tf.training.loop import Loop
from lada_tf.training.trainer import SEEDS_APART, Options

SMALL = {
    "g_widths": (8, 8, 8),
    "d_widths": (4, 8),
    "d_out_widths": (8, 8),
    "g_mlp": (8,),
    "d_mlp": 8,
    "batch_size": 4,
}
BAD_STEP = 3


def train(run_dir, total_images=32, **options):
    options = Options(
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
    step = Loop._step

    def unfortunate(self, iterator):
        values, finite = step(self, iterator)
        if self.gan.steps - 1 == BAD_STEP and self.gan.seed in seeds:
            values = np.where(np.array(METRICS) == "d_loss", np.inf, values)
            return _Values(values), False
        return values, finite

    monkeypatch.setattr(Loop, "_step", unfortunate)
    return seeds


class _Values(np.ndarray):
    def __new__(cls, values):
        return np.asarray(values).view(cls)

    def numpy(self):
        return np.asarray(self)


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
