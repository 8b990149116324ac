"""Create the optimizers of both networks, and present them to Keras as one."""

from typing import Any

import keras

from lada_tf import kernels
from lada_tf.models.networks import keras_defaults


class Optimizers:
    """Both optimizers, with the attributes that Keras' callbacks use.

    Args:
        g_optimizer: the generator's optimizer.
        d_optimizer: the discriminator's optimizer.
        iterations: variable, number of training steps.

    Attributes:
        optimizers: both, without a `LossScaleOptimizer` around them.
    """

    name = "optimizers"
    built = True

    def __init__(
        self,
        g_optimizer: keras.optimizers.Optimizer,
        d_optimizer: keras.optimizers.Optimizer,
        iterations: keras.Variable,
    ):
        self._outer = (g_optimizer, d_optimizer)
        self.optimizers = [_unwrapped(optimizer) for optimizer in self._outer]
        self.iterations = iterations

    @property
    def variables(self) -> list[keras.Variable]:
        return [
            variable for optimizer in self._outer for variable in optimizer.variables
        ]

    @property
    def learning_rate(self) -> Any:
        """The generator's learning rate. Setting it scales both learning rates."""
        return self.optimizers[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        g_optimizer, d_optimizer = self.optimizers
        before = float(g_optimizer.learning_rate)
        if before == 0:
            raise ValueError(
                "the generator's learning rate is 0, so it cannot be scaled: set "
                "g_optimizer.learning_rate and d_optimizer.learning_rate"
            )
        d_optimizer.learning_rate = float(d_optimizer.learning_rate) * value / before
        g_optimizer.learning_rate = value

    def get_config(self) -> dict:
        names = ("g_optimizer", "d_optimizer")
        return {
            name: keras.optimizers.serialize(optimizer)
            for name, optimizer in zip(names, self._outer, strict=True)
        }


def _unwrapped(optimizer):
    return getattr(optimizer, "inner_optimizer", optimizer)


def make_optimizer(
    name: str,
    optimizer: str | dict | keras.optimizers.Optimizer | None,
    network: keras.Model,
    learning_rate: float,
    betas: tuple[float, ...],
) -> keras.optimizers.Optimizer:
    """Return an optimizer that is built for a network.

    Args:
        name: name of the optimizer, for logs and the paths of its variables.
        optimizer: argument of `keras.optimizers.get`, or None for Adam.
        network: Keras model. If it computes in float16, the optimizer scales the loss.
        learning_rate: float, of the default Adam.
        betas: two floats, β₁ and β₂ of the default Adam.

    Raises:
        ValueError: if the optimizer averages weights.
    """
    with keras_defaults():  # Keras creates learning rates in `floatx`
        if optimizer is None:
            optimizer = kernels.FusedAdam(
                learning_rate, beta_1=betas[0], beta_2=betas[1]
            )
        built: Any = keras.optimizers.get(optimizer)
        scales = isinstance(built, keras.optimizers.LossScaleOptimizer)
        if network.compute_dtype == "float16" and not scales:
            built = keras.optimizers.LossScaleOptimizer(built)
        if _unwrapped(built).use_ema:
            raise ValueError(
                f"{name}: use_ema=True is not supported. Use ema_generator and its "
                "ema_decay"
            )
        built.name = _unwrapped(built).name = name
        built.build(network.trainable_variables)
    return built
