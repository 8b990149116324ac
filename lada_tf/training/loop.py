"""The loop over training steps: the same for one device and for many.

`fit` would do on one device; on several workers it does not work with Keras 3
(keras#20585), and it hides which step it was that went wrong.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from lada_tf.errors import TrainingDiverged, WorkerLost
from lada_tf.models import LadaGAN
from lada_tf.models.metrics import METRICS
from lada_tf.runtime import without_collection
from lada_tf.training.distribution import count_workers

# What TensorFlow's collectives end with when the other side dies.
PEER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)

# How long a signal or the progress bar waits at most for the end of a call, unless a
# single step takes longer.
CALL_SECONDS = 0.5


class NonFiniteStep(TrainingDiverged):
    """A step whose losses or gradients were not finite.

    Attributes:
        values: dict of the step's own metrics.
    """

    def __init__(self, step: int, values: dict[str, float]):
        self.step = step
        self.values = values
        wrong = [name for name, value in values.items() if not np.isfinite(value)]
        super().__init__(
            f"{', '.join(wrong) or 'loss scale'} not finite at step {step}"
        )


class Loop:
    """Runs `gan.step` on every replica, and callbacks between calls of several steps.

    A call is one graph that loops over steps: Python and the device wait for each other
    once a call, not once a step. It is the same graph for any number of steps, so that
    how many there are in a call changes no bit of any of them.

    Args:
        gan: compiled `LadaGAN`, made in the strategy's scope.
        strategy: `tf.distribute.Strategy`.
        jit_compile: bool, whether XLA compiles the step.
    """

    def __init__(self, gan: LadaGAN, strategy: tf.distribute.Strategy, jit_compile):
        self.gan = gan
        self.strategy = strategy
        # AutoGraph would take a third of the tracing's time, for nothing.
        step = tf.function(gan.step, jit_compile=jit_compile, autograph=False)

        def one_step(iterator, **arguments):
            values, finite = strategy.run(step, (next(iterator),), arguments)
            # Every replica returns the values of the global batch.
            return (
                strategy.experimental_local_results(values)[0],
                strategy.experimental_local_results(finite)[0],
            )

        def several_steps(iterator, steps):
            def go_on(number, values, finite):
                return tf.logical_and(number < steps, finite)

            def body(number, values, finite):
                return number + 1, *one_step(iterator)

            start = (0, tf.zeros(len(METRICS)), True)
            return tf.while_loop(go_on, body, start, parallel_iterations=1)[1:]

        # Several replicas talk within a step: a loop of that in one graph is not tried.
        self._one_at_a_time = strategy.num_replicas_in_sync > 1
        # What several workers compute was seen to differ in its last bits as traced.
        self._as_traced = not (
            gan.overlap or self._one_at_a_time or tf.config.list_physical_devices("GPU")
        )
        self._compile_ahead = not jit_compile
        self._first = True
        self._run = tf.function(
            one_step if self._one_at_a_time else several_steps,
            reduce_retracing=True,
            autograph=False,
        )

    def run(
        self,
        batches: tf.data.Dataset | tf.distribute.DistributedDataset,
        steps: int,
        callbacks: Iterable[keras.callbacks.Callback] = (),
        steps_to_act: Callable[[], int] = lambda: 1,
    ) -> None:
        """Trains for a number of steps.

        Args:
            batches: real images; endless, from the step on that the model is at.
            steps: how many.
            callbacks: told of begin, of the last step of each call, and of the end;
                `logs` are that step's own metrics.
            steps_to_act: after how many steps the callbacks have to be told at the
                latest, asked before each call. By default they are told of every step.

        Raises:
            NonFiniteStep: at the first such step; callbacks are not told of it.
            WorkerLost: another process of a multi-worker run is gone.
        """
        iterator = iter(batches)
        every = keras.callbacks.CallbackList(list(callbacks), model=self.gan)
        every.on_train_begin()
        done, size = 0, 1
        while done < steps:
            size = min(size, steps - done, steps_to_act())
            start = time.monotonic()
            values, finite = self._call(iterator, size)
            logs = dict(zip(METRICS, map(float, values.numpy()), strict=True))
            seconds = time.monotonic() - start
            if not finite:
                raise NonFiniteStep(self.gan.steps - 1, logs)
            done += size
            every.on_train_batch_end(done - 1, logs)
            size = self._next_size(size, seconds)
        every.on_train_end()

    def _next_size(self, size, seconds):
        """Steps of the next call: as fit the time, at most twice those of the last."""
        if self._one_at_a_time:
            return 1
        return max(1, min(2 * size, int(size * CALL_SECONDS / seconds)))

    def _call(self, iterator, steps):
        try:
            with contextlib.ExitStack() as stack:
                if self._as_traced:
                    stack.enter_context(without_grappler())
                if self._first:
                    stack.enter_context(without_collection())
                    self._first = False
                if self._one_at_a_time:
                    # A graph of each kind: replicas cannot talk within a condition.
                    return self._run(iterator, with_r1=bool(self.gan.r1_is_due))
                return self._run(iterator, tf.constant(steps))
        except PEER_ERRORS as error:
            if count_workers(self.strategy) == 1:
                raise
            raise WorkerLost(
                "another worker is gone; start all of them again to go on from the "
                f"last checkpoint ({type(error).__name__})"
            ) from error


@contextlib.contextmanager
def without_grappler() -> Iterator[None]:
    """Within it TensorFlow runs graphs as they were traced.

    On processors, what it would optimize in the step's graph takes it a seventh of the
    time until the first step, and makes steps no faster; but those of small networks,
    whose parts overlap, by 4 %.
    """
    options = tf.config.optimizer
    before = options.get_experimental_options().get("disable_meta_optimizer", False)
    options.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        options.set_experimental_options({"disable_meta_optimizer": before})
