"""RunningMean: the mean of a metric since it was reset."""

import keras


class RunningMean(keras.metrics.Metric):
    """Like `keras.metrics.Mean`, of values that every replica knows alike.

    Its variables are mirrored, so that one process may save them alone; those of
    `Mean` are summed over all processes whenever they are read.
    """

    def __init__(self, name, **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = keras.Variable(0.0, dtype=self.dtype, trainable=False)
        self.count = keras.Variable(0.0, dtype=self.dtype, trainable=False)

    def update_state(self, value):
        self.total.assign_add(value)
        self.count.assign_add(1.0)

    def result(self):
        return keras.ops.divide_no_nan(self.total, self.count)
