"""The loop over training steps: the same for one device and for many.

`fit` would do on one device; on several workers it does not work with Keras 3
(keras#20585), and it hides which step it was that went wrong.
"""

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from lada_tf.errors import TrainingDiverged, WorkerLost
from lada_tf.models import LadaGAN
from lada_tf.models.lada_gan import METRICS
from lada_tf.training.distribution import count_workers

# What TensorFlow's collectives end with when the other side dies.
PEER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


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
    """Runs `gan.step` on every replica, and callbacks between steps.

    Args:
        gan: compiled `LadaGAN`, made in the strategy's scope.
        strategy: `tf.distribute.Strategy`.
        jit_compile: bool, whether XLA compiles the step.
    """

    def __init__(self, gan: LadaGAN, strategy: tf.distribute.Strategy, jit_compile):
        self.gan = gan
        self.strategy = strategy
        step = tf.function(gan.step, jit_compile=jit_compile)

        @tf.function(reduce_retracing=True)
        def run(iterator):
            values, finite = strategy.run(step, args=(next(iterator),))
            # Every replica returns the values of the global batch.
            return (
                strategy.experimental_local_results(values)[0],
                strategy.experimental_local_results(finite)[0],
            )

        self._run = run

    def run(
        self,
        batches: tf.data.Dataset | tf.distribute.DistributedDataset,
        steps: int,
        callbacks: Iterable[keras.callbacks.Callback] = (),
    ) -> None:
        """Trains for a number of steps.

        Args:
            batches: real images; endless, from the step on that the model is at.
            steps: how many.
            callbacks: told of begin, of each step, and of the end; `logs` are the
                step's own metrics.

        Raises:
            NonFiniteStep: at the first such step; callbacks are not told of it.
            WorkerLost: another process of a multi-worker run is gone.
        """
        iterator = iter(batches)
        every = keras.callbacks.CallbackList(list(callbacks), model=self.gan)
        every.on_train_begin()
        for number in range(steps):
            values, finite = self._step(iterator)
            logs = dict(zip(METRICS, map(float, values.numpy()), strict=True))
            if not finite:
                raise NonFiniteStep(self.gan.steps - 1, logs)
            every.on_train_batch_end(number, logs)
        every.on_train_end()

    def _step(self, iterator):
        try:
            return self._run(iterator)
        except PEER_ERRORS as error:
            if count_workers(self.strategy) == 1:
                raise
            raise WorkerLost(
                "another worker is gone; start all of them again to go on from the "
                f"last checkpoint ({type(error).__name__})"
            ) from error
