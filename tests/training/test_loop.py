"""The training loop: calls of several steps, and steps that are not finite."""

import keras
import pytest
import tensorflow as tf

from lada_tf.models.losses import METRICS
from lada_tf.training.loop import NonFiniteStep, TrainingLoop

BAD_STEP = 3


class CountingGan:
    """Counts its steps in a graph. The loss of one step is infinite."""

    def __init__(self):
        self.step_counter = tf.Variable(0)

    @property
    def steps(self):
        return int(self.step_counter)

    def train_step(self, real, with_r1=None):
        number = self.step_counter.assign_add(1) - 1
        metrics = dict.fromkeys(METRICS, tf.cast(number, tf.float32))
        metrics["d_loss"] = tf.where(number == BAD_STEP, float("inf"), 0.0)
        return metrics


@pytest.fixture
def gan():
    return CountingGan()


def run(gan, steps, max_steps_per_call):
    """Run a loop whose calls have 1, 2, 4, ... steps; return the callback's calls."""
    calls = []
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda number, logs: calls.append((number, logs["g_loss"]))
    )
    loop = TrainingLoop(gan, tf.distribute.get_strategy())
    loop._next_size = lambda size, seconds: 2 * size
    real = tf.data.Dataset.from_tensors(tf.zeros((4, 32, 32, 3))).repeat()
    try:
        loop.run(real, steps, [callback], lambda: max_steps_per_call)
    finally:
        gan.calls = calls


@pytest.mark.slow
def test_callbacks_get_the_last_step_of_each_call(gan):
    run(gan, 3, max_steps_per_call=8)
    assert gan.calls == [(0, 0.0), (2, 2.0)]


@pytest.mark.slow
def test_callbacks_limit_the_steps_per_call(gan):
    run(gan, 3, max_steps_per_call=1)
    assert gan.calls == [(0, 0.0), (1, 1.0), (2, 2.0)]


def test_a_call_ends_at_the_step_that_is_not_finite(gan, monkeypatch):
    monkeypatch.setattr("lada_tf.training.loop.CALL_SECONDS", 60)  # of a busy machine
    with pytest.raises(NonFiniteStep, match="d_loss not finite at step 3") as error:
        run(gan, 8, max_steps_per_call=8)
    assert error.value.step == BAD_STEP
    assert gan.calls == [(0, 0.0), (2, 2.0)]
    assert gan.steps == BAD_STEP + 1
    # The loop turned Grappler off for its own graph only.
    assert not tf.config.optimizer.get_experimental_options()["disable_meta_optimizer"]
