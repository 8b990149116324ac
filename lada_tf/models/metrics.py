"""The metrics of a training step."""

import keras
import tensorflow as tf

METRICS = (
    "d_loss",  # adversarial loss of the discriminator alone
    "d_total_loss",  # with weighted R1 and consistency: what it minimizes
    "g_loss",
    "r1",  # without its weight γ; with lazy R1, k times the penalty, or 0
    "r1_weighted",
    "consistency_real",  # without their weights; 0 if bCR is off
    "consistency_fake",
    "real_logits",  # means over the logits of the losses
    "fake_logits",
    "real_accuracy",  # share of real logits above 0
    "fake_accuracy",  # share of fake logits below 0
    "d_grad_norm",  # over all variables of the network
    "g_grad_norm",
)


def fake_metrics(logits: tf.Tensor) -> dict[str, tf.Tensor]:
    return {
        "fake_logits": tf.reduce_mean(logits),
        "fake_accuracy": tf.reduce_mean(tf.cast(logits < 0, tf.float32)),
    }


def real_metrics(
    logits: tf.Tensor, r1: tf.Tensor | float, r1_gamma: float
) -> dict[str, tf.Tensor]:
    return {
        "real_logits": tf.reduce_mean(logits),
        "real_accuracy": tf.reduce_mean(tf.cast(logits > 0, tf.float32)),
        "r1": r1,
        "r1_weighted": r1_gamma * r1,
    }


class RunningMean(keras.metrics.Metric):
    """The mean of a metric since its last reset.

    Unlike `keras.metrics.Mean`, it expects the same value on every replica. Its
    variables are mirrored, so that one process may save them alone. Those of `Mean` are
    summed over all processes whenever they are read.
    """

    def __init__(self, name: str, **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = keras.Variable(0.0, dtype=self.dtype, trainable=False)
        self.count = keras.Variable(0.0, dtype=self.dtype, trainable=False)

    def update_state(self, value: tf.Tensor) -> None:
        self.total.assign_add(value)
        self.count.assign_add(1.0)

    def result(self) -> tf.Tensor:
        return keras.ops.divide_no_nan(self.total, self.count)
