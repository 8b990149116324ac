"""Definitions of all operations in `lada_tf.kernels`, as a few lines of `keras.ops`.

Inference, exports and other backends run these functions. Fast kernels compute the same
values and derivatives, up to rounding.
"""

from typing import Any

from keras import ops

Tensor = Any  # a tensor of any Keras backend

LEAKY_RELU_SLOPE = 0.2


def gelu(x: Tensor) -> Tensor:
    """Exact GELU, x Φ(x) with the normal distribution's Φ (arXiv:1606.08415).

    `keras.ops.gelu` uses the operation `Erfc`, which some export runtimes lack.
    """
    return 0.5 * x * (1 + ops.erf(x * 0.5**0.5))


def leaky_relu(x: Tensor) -> Tensor:
    """LeakyReLU with slope 0.2."""
    return ops.leaky_relu(x, LEAKY_RELU_SLOPE)


def layer_norm(x: Tensor, scale: Tensor, offset: Tensor, epsilon: float) -> Tensor:
    """Layer normalization of the last axis in float32 (arXiv:1607.06450).

    Args:
        x: float tensor (..., D).
        scale: tensor that broadcasts to x.
        offset: tensor that broadcasts to x, with the dtype of the scale.
        epsilon: float, added to the variance.

    Returns:
        A tensor (..., D) with the dtype of the scale.
    """
    x = ops.cast(x, "float32")
    mean = ops.mean(x, axis=-1, keepdims=True)
    # Stop the gradient of the mean, as `tf.nn.moments` does. First derivatives are
    # exact. Second derivatives are not, but R1 then equals that of the authors' code.
    deviations = x - ops.stop_gradient(mean)
    variance = ops.mean(deviations**2, axis=-1, keepdims=True)
    normal = (x - mean) * ops.rsqrt(variance + epsilon)
    return scale * ops.cast(normal, scale.dtype) + offset


def batch_norm_leaky_relu(
    x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch normalization with the statistics of the batch, then LeakyReLU(0.2).

    Args:
        x: float tensor (..., C).
        gamma, beta: float32 (C,), scale and offset.
        epsilon: float, added to the variance.

    Returns:
        The outputs with the shape and dtype of x, and the mean and biased variance of
        the batch, float32 (C,).
    """
    rows = ops.reshape(ops.cast(x, "float32"), (-1, x.shape[-1]))
    mean = ops.mean(rows, axis=0)
    centered = rows - mean
    variance = ops.mean(centered * centered, axis=0)
    y = leaky_relu(centered * (gamma * ops.rsqrt(variance + epsilon)) + beta)
    return ops.cast(ops.reshape(y, ops.shape(x)), x.dtype), mean, variance


def conv2d(
    x: Tensor,
    kernel: Tensor,
    strides: int | tuple[int, int],
    padding: str,
    dilation_rate: int | tuple[int, int],
) -> Tensor:
    """2-D convolution.

    Args:
        x: float tensor (B, H, W, C).
        kernel: tensor (height, width, C, K).
        strides, dilation_rate: int, or two ints.
        padding: `"same"` or `"valid"`.
    """
    return ops.conv(
        x,
        kernel,
        strides=strides,
        padding=padding,
        data_format="channels_last",
        dilation_rate=dilation_rate,
    )


def upsample_conv2d(x: Tensor, kernel: Tensor) -> Tensor:
    """Nearest-neighbor ×2 upsampling, then a 3×3 convolution with zero padding.

    The 3×3 window of an output pixel contains copies of only 2×2 input pixels. Adding
    up the kernel's taps for each input pixel gives four 2×2 kernels, one per parity of
    the output row and column. They need 4/9 of the multiply-adds.

    Args:
        x: float tensor (B, H, W, C).
        kernel: tensor (3, 3, C, K).

    Returns:
        A tensor (B, 2H, 2W, K).
    """

    def by_parity(taps, axis):
        first, middle, last = ops.split(taps, 3, axis=axis)
        return (
            ops.concatenate([first + middle, last], axis=axis),
            ops.concatenate([first, middle + last], axis=axis),
        )

    kernels = [k for rows in by_parity(kernel, 0) for k in by_parity(rows, 1)]
    x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    corners = ops.conv(  # (B, H + 1, W + 1, 4K): one 2×2 block per corner of 4 pixels
        x,
        ops.concatenate(kernels, axis=-1),
        padding="valid",
        data_format="channels_last",
    )
    blocks = ops.depth_to_space(corners, 2, data_format="channels_last")
    return blocks[:, 1:-1, 1:-1]
