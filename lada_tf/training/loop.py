"""The training loop, for one device or many.

We do not use `fit`, because in Keras 3 it does not support several workers
(keras#20585), and because it does not report which step was not finite.
"""

import contextlib
import time
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from lada_tf.errors import TrainingDiverged
from lada_tf.models import LadaGAN
from lada_tf.models.losses import METRICS
from lada_tf.runtime import without_garbage_collection, without_grappler

# Target duration of one call of the graph. Signals and the progress bar wait for it.
CALL_SECONDS = 0.5


class NonFiniteStep(TrainingDiverged):
    """A step with a loss or gradient that is not finite.

    Attributes:
        step: int, number of the step.
        values: dict of the step's metrics.
    """

    def __init__(self, step: int, values: dict[str, float]):
        self.step = step
        self.values = values
        names = [name for name, value in values.items() if not np.isfinite(value)]
        super().__init__(f"{', '.join(names)} not finite at step {step}")


class TrainingLoop:
    """Runs `gan.train_step` on every replica, and callbacks between calls.

    One call of the graph runs several steps, so Python and the device synchronize once
    per call. The number of steps per call does not affect the result.

    Args:
        gan: a compiled `LadaGAN`, created in the strategy's scope.
        strategy: `tf.distribute.Strategy`.
        jit_compile: whether XLA compiles the step.
    """

    def __init__(
        self, gan: LadaGAN, strategy: tf.distribute.Strategy, jit_compile: bool = False
    ):
        self.gan = gan
        self.strategy = strategy
        # Collectives of several replicas cannot run in a loop or condition of a graph.
        # So each call runs one step, in one of two graphs: with R1 or without.
        self._one_step_per_call = strategy.num_replicas_in_sync > 1

        def step(real, with_r1=None):
            metrics = gan.train_step(real, with_r1)
            return tf.stack([metrics[name] for name in METRICS])

        # AutoGraph would add a third to the tracing time; the step does not need it.
        step = tf.function(step, jit_compile=jit_compile, autograph=False)

        def one_step(iterator, **kwargs):
            values = strategy.run(step, (next(iterator),), kwargs)
            # All replicas return the same metrics: those of the global batch.
            return strategy.experimental_local_results(values)[0]

        def several_steps(iterator, steps):
            def proceed(number, values):
                finite = tf.reduce_all(tf.math.is_finite(values))
                return tf.logical_and(number < steps, finite)

            def body(number, values):
                return number + 1, one_step(iterator)

            start = (0, tf.zeros(len(METRICS)))
            return tf.while_loop(proceed, body, start, parallel_iterations=1)[1]

        self._graph = tf.function(
            one_step if self._one_step_per_call else several_steps,
            reduce_retracing=True,
            autograph=False,
        )

    def run(
        self,
        batches: tf.data.Dataset | tf.distribute.DistributedDataset,
        steps: int,
        callbacks: Iterable[keras.callbacks.Callback] = (),
        max_steps_per_call: Callable[[], int] = lambda: 1,
    ) -> None:
        """Train for a number of steps.

        Args:
            batches: endless dataset of real images, starting at the model's step.
            steps: number of steps.
            callbacks: `on_train_batch_end` gets the number and the metrics of the last
                step of each call.
            max_steps_per_call: returns how many steps the next call may run until a
                callback must act. The default is one.

        Raises:
            NonFiniteStep: at the first such step, before the callbacks see it.
        """
        iterator = iter(batches)
        callback_list = keras.callbacks.CallbackList(
            list(callbacks), model=self.gan, steps=steps
        )
        # Without Grappler, the results of several workers differed in the last bits.
        optimize = self._one_step_per_call or tf.config.list_physical_devices("GPU")
        grappler = contextlib.nullcontext if optimize else without_grappler
        done, size = 0, 1
        with grappler(), contextlib.ExitStack() as tracing:
            callback_list.on_train_begin()
            tracing.enter_context(without_garbage_collection())
            while done < steps and not getattr(self.gan, "stop_training", False):
                callback_list.on_train_batch_begin(done)
                size = min(size, steps - done, max_steps_per_call())
                start = time.monotonic()
                values = self._call(iterator, size).numpy()
                seconds = time.monotonic() - start
                tracing.close()  # only the first call traces
                logs = dict(zip(METRICS, map(float, values), strict=True))
                if not np.isfinite(values).all():
                    raise NonFiniteStep(self.gan.steps - 1, logs)
                done += size
                callback_list.on_train_batch_end(done - 1, logs)
                if not self._one_step_per_call:
                    size = max(1, min(2 * size, int(size * CALL_SECONDS / seconds)))
            callback_list.on_train_end()

    def _call(self, iterator, steps: int) -> tf.Tensor:
        """Run the graph and return the metrics of its last step."""
        if self._one_step_per_call:
            return self._graph(iterator, with_r1=bool(self.gan.r1_is_due))
        return self._graph(iterator, tf.constant(steps))
