"""DecoderLevel: a stage of the generator's decoder, a map to one of twice its side."""

import keras

from lada_tf.layers.batch_norm_leaky_relu import BatchNormLeakyReLU
from lada_tf.layers.up_sampling_conv2d import UpSamplingConv2D


class DecoderLevel(keras.layers.Layer):
    """Nearest ×2, 3×3 convolution, batch normalization, LeakyReLU(0.2)."""

    def __init__(self, filters, initializer, sync_batch_norm, **kwargs):
        super().__init__(**kwargs)
        self.convolution = UpSamplingConv2D(
            filters, kernel_initializer=initializer, dtype=self.dtype_policy
        )
        self.norm = BatchNormLeakyReLU(sync_batch_norm, dtype=self.dtype_policy)

    def build(self, inputs_shape):
        self.convolution.build(inputs_shape)
        self.norm.build(self.compute_output_shape(inputs_shape))

    def call(self, inputs, training=None):
        x = self.convolution(inputs, training=training)
        return self.norm(x, training=training)

    def compute_output_shape(self, inputs_shape):
        return self.convolution.compute_output_shape(inputs_shape)
