"""DownBlock: a stage of the discriminator, a map to one of half its side."""

import functools

import keras
from keras import ops

from lada_tf.layers.batch_norm_leaky_relu import BatchNormLeakyReLU
from lada_tf.layers.fast_conv2d import FastConv2D
from lada_tf.layers.leaky_relu import leaky_relu


class DownBlock(keras.layers.Layer):
    """Halves a map by the mean of a convolutional and a direct path (FastGAN's).

    main: 3×3 convolution of stride 2, norm, LeakyReLU, 3×3 convolution, norm,
    LeakyReLU; direct: 2×2 average pool, 1×1 convolution, norm, LeakyReLU. No biases.

    Reference:
        Liu et al., "Towards faster and stabilized GAN training for high-fidelity
        few-shot image synthesis", arXiv:2101.04775.
    """

    def __init__(self, filters, batch_norm, initializer, sync_batch_norm, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.pool = keras.layers.AveragePooling2D(
            2, data_format="channels_last", dtype=self.dtype_policy
        )
        arguments = {
            "use_bias": False,
            "kernel_initializer": initializer,
            "dtype": self.dtype_policy,
        }
        convolution = functools.partial(
            keras.layers.Conv2D, filters, data_format="channels_last", **arguments
        )
        self.convolutions = [
            convolution(3, strides=2, padding="same", name="main_0"),
            FastConv2D(filters, name="main_1", **arguments),
            convolution(1, name="direct"),
        ]
        self.norms = [
            BatchNormLeakyReLU(
                sync_batch_norm, dtype=self.dtype_policy, name=f"norm_{i}"
            )
            for i in range(3 if batch_norm else 0)
        ]

    def build(self, inputs_shape):
        output_shape = self.compute_output_shape(inputs_shape)
        for convolution, shape in zip(
            self.convolutions, (inputs_shape, output_shape, inputs_shape), strict=True
        ):
            convolution.build(shape)
        for norm in self.norms:
            norm.build(output_shape)

    def call(self, inputs, training=None, parts=1):
        def unit(i, x):
            x = in_parts(self.convolutions[i], x, parts)
            if self.norms:
                return self.norms[i](x, training=training)
            return leaky_relu(x)

        return (unit(1, unit(0, inputs)) + unit(2, self.pool(inputs))) / 2

    def compute_output_shape(self, inputs_shape):
        batch, height, width, _ = inputs_shape
        return (batch, height // 2, width // 2, self.filters)


def in_parts(function, x, parts):
    """A function of batches, applied to equal parts of one and joined again."""
    if parts == 1:
        return function(x)
    return ops.concatenate([function(part) for part in ops.split(x, parts)])
