"""Adam with one TensorFlow operation per variable, or one XLA kernel on GPUs."""

import keras
import tensorflow as tf

from lada_tf.kernels.switch import is_fast_on_gpu
from lada_tf.kernels.variables import assign_all
from lada_tf.kernels.xla_kernel import xla_kernel


@keras.saving.register_keras_serializable("lada_tf")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam`, but faster. The results are equal up to rounding.

    Keras composes the update of a variable from about a dozen operations, and each of
    them reads and writes the whole variable. This class uses TensorFlow's Adam kernel.
    """

    # Scalar arguments of the kernel while `apply` runs, else None. All variables share
    # them, which keeps the graph small. They are tensors of one graph, so `apply`
    # removes them at its end.
    _scalars = None

    def apply(self, grads, trainable_variables=None):
        self._scalars = None if self.amsgrad else self._make_scalars()
        try:
            return super().apply(grads, trainable_variables)
        finally:
            self._scalars = None

    def _make_scalars(self):
        step = tf.cast(self.iterations + 1, tf.float32)
        return {
            "beta1_power": self.beta_1**step,
            "beta2_power": self.beta_2**step,
            "lr": tf.convert_to_tensor(self.learning_rate),
            "beta1": tf.constant(self.beta_1),
            "beta2": tf.constant(self.beta_2),
            "epsilon": tf.constant(self.epsilon),
        }

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        one_replica = tf.distribute.get_strategy().num_replicas_in_sync == 1
        if not (self._scalars and one_replica and is_fast_on_gpu()):
            super()._backend_update_step(grads, trainable_variables, learning_rate)
            return
        indices = [self._get_variable_index(v) for v in trainable_variables]
        variables = [
            *trainable_variables,
            *(self._momentums[i] for i in indices),
            *(self._velocities[i] for i in indices),
        ]
        assign_all(variables, _xla_adam(*self._scalars.values(), *variables, *grads))

    def update_step(self, gradient, variable, learning_rate):
        if not self._scalars:
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            grad=tf.cast(gradient, variable.dtype),
            **self._scalars,
        )


def _adam(beta1_power, beta2_power, rate, beta1, beta2, epsilon, *tensors):
    """Return the new variables, then the first moments, then the second moments.

    Args:
        beta1_power, beta2_power: scalars, β₁ and β₂ to the power of the step.
        rate: scalar, learning rate.
        beta1, beta2, epsilon: scalars.
        *tensors: variables, first moments, second moments, and gradients, in four
            groups of equal length.
    """
    count = len(tensors) // 4
    groups = (tensors[i : i + count] for i in range(0, 4 * count, count))
    alpha = rate * tf.sqrt(1 - beta2_power) / (1 - beta1_power)
    updates = []
    for variable, m, v, gradient in zip(*groups, strict=True):
        gradient = tf.cast(gradient, variable.dtype)
        m += (gradient - m) * (1 - beta1)
        v += (gradient * gradient - v) * (1 - beta2)
        updates.append((variable - alpha * m / (tf.sqrt(v) + epsilon), m, v))
    return tuple(tensor for group in zip(*updates, strict=True) for tensor in group)


_xla_adam = xla_kernel(_adam, max_grad_order=0)
