"""Operations on all variables of a network, as one XLA kernel on GPUs.

A network has about a hundred variables, and most of them are small. TensorFlow's own
operations would need one to three launches per variable.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from lada_tf.kernels.switch import is_fast_on_gpu
from lada_tf.kernels.xla_kernel import xla_kernel


def global_norm(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the square root of the sum of all squared entries, a scalar."""
    return _xla_norm(*tensors) if is_fast_on_gpu() else tf.linalg.global_norm(tensors)


def move_averages(
    averages: Sequence[keras.Variable], values: Sequence[keras.Variable], rate: float
) -> None:
    """Update each average: average -= rate · (average - value).

    You can call it in a replica of `tf.distribute`.
    """
    if is_fast_on_gpu():
        moved = _xla_move(tf.constant(rate), *averages, *values)
        assign_all(averages, moved)
        return
    alpha = tf.constant(rate)
    for average, value in zip(averages, values, strict=True):
        tf.raw_ops.ResourceApplyGradientDescent(
            var=average.value.handle, alpha=alpha, delta=average - value
        )


def assign_all(
    variables: Sequence[keras.Variable], values: Sequence[tf.Tensor]
) -> None:
    """Assign values to variables. You can call it in a replica of `tf.distribute`."""
    for variable, value in zip(variables, values, strict=True):
        tf.raw_ops.AssignVariableOp(resource=variable.value.handle, value=value)


def _norm(*tensors):
    return tf.linalg.global_norm(tensors)


def _move(rate, *tensors):
    count = len(tensors) // 2
    pairs = zip(tensors[:count], tensors[count:], strict=True)
    return tuple(average - rate * (average - value) for average, value in pairs)


_xla_norm = xla_kernel(_norm, max_grad_order=0)
_xla_move = xla_kernel(_move, max_grad_order=0)
