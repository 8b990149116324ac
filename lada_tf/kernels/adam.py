"""Adam as one operation a variable."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("lada_tf")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` by TensorFlow's own kernel: the same numbers, sooner.

    Keras composes the update of a dozen operations, each of which reads and writes all
    of a variable; without XLA that is a tenth of a small batch's step on a CPU. Here
    it is one, and what all variables share is computed once, which keeps the graph
    small that has to be traced before the first step.
    """

    _shared = None

    def apply(self, grads, trainable_variables=None):
        self._shared = None if self.amsgrad else self._of_all_variables()
        try:
            return super().apply(grads, trainable_variables)
        finally:
            self._shared = None  # tensors of one graph, of no use to another

    def _of_all_variables(self):
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
        if not self._shared:
            super().update_step(gradient, variable, learning_rate)
            return
        number = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[number].value.handle,
            v=self._velocities[number].value.handle,
            grad=tf.cast(gradient, variable.dtype),
            **self._shared,
        )
