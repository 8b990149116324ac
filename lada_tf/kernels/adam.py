"""Adam as one TensorFlow operation per variable."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("lada_tf")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` with TensorFlow's own kernel, equal up to rounding.

    Keras composes the update from about a dozen operations, and each one reads and
    writes the whole variable.
    """

    # The kernel's scalar arguments while `apply` runs: one set for all variables keeps
    # the graph small. They belong to one graph, so that they do not outlive the call.
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
