"""Operations of the networks. Some have fast kernels for training.

Layers and models import only this module. `lada_tf.kernels.reference` defines each
operation by a function of the same name. Inside `fast()`, the functions below may
choose a faster kernel, which computes the same numbers up to rounding.
"""

import functools

import keras

from lada_tf.kernels import reference
from lada_tf.kernels.orthogonal import Orthogonal
from lada_tf.kernels.reference import Tensor, leaky_relu
from lada_tf.kernels.switch import fast, is_fast, is_fast_on_cpu
from lada_tf.kernels.xla_kernel import xla_kernel

if keras.backend.backend() == "tensorflow":
    from lada_tf.kernels import upsample_conv, winograd
    from lada_tf.kernels.adam import FusedAdam
    from lada_tf.kernels.variables import global_norm, move_averages

__all__ = [
    "FusedAdam",
    "Orthogonal",
    "Tensor",
    "batch_norm_leaky_relu",
    "conv2d",
    "fast",
    "gelu",
    "global_norm",
    "layer_norm",
    "leaky_relu",
    "move_averages",
    "upsample_conv2d",
]


def gelu(x: Tensor) -> Tensor:
    """Exact GELU, see `reference.gelu`."""
    return _xla_gelu(x) if is_fast() else reference.gelu(x)


def layer_norm(x: Tensor, scale: Tensor, offset: Tensor, epsilon: float) -> Tensor:
    """Layer normalization of the last axis, see `reference.layer_norm`."""
    if is_fast():
        return _xla_layer_norm(epsilon)(x, scale, offset)
    return reference.layer_norm(x, scale, offset, epsilon)


def batch_norm_leaky_relu(
    x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch normalization and LeakyReLU, see `reference.batch_norm_leaky_relu`."""
    if is_fast():
        return _xla_batch_norm_leaky_relu(epsilon)(x, gamma, beta)
    return reference.batch_norm_leaky_relu(x, gamma, beta, epsilon)


def conv2d(
    x: Tensor,
    kernel: Tensor,
    strides: int | tuple[int, int] = 1,
    padding: str = "valid",
    dilation_rate: int | tuple[int, int] = 1,
) -> Tensor:
    """2-D convolution, see `reference.conv2d`."""
    if (
        is_fast_on_cpu()
        and _is_float32_of_known_size(x)
        and tuple(kernel.shape[:2]) == (3, 3)
        and kernel.shape[2] == x.shape[-1]  # one group
        and min(kernel.shape[2:]) >= winograd.MIN_CHANNELS
        and padding == "same"
        and _all_ones(strides)
        and _all_ones(dilation_rate)
        and x.shape[1] % 2 == x.shape[2] % 2 == 0
    ):
        return winograd.convolve(x, kernel)
    return reference.conv2d(x, kernel, strides, padding, dilation_rate)


def upsample_conv2d(x: Tensor, kernel: Tensor) -> Tensor:
    """×2 upsampling and a 3×3 convolution, see `reference.upsample_conv2d`."""
    if (
        is_fast_on_cpu()
        and _is_float32_of_known_size(x)
        and min(kernel.shape[2:]) >= upsample_conv.MIN_CHANNELS
    ):
        return upsample_conv.convolve(x, kernel)
    return reference.upsample_conv2d(x, kernel)


def _all_ones(value):
    return value in (1, (1, 1), [1, 1])


def _is_float32_of_known_size(x):
    dtype = keras.backend.standardize_dtype(x.dtype)
    return dtype == "float32" and None not in x.shape[1:3]


_xla_gelu = xla_kernel(reference.gelu)


@functools.cache
def _xla_layer_norm(epsilon):
    return xla_kernel(
        lambda x, scale, offset: reference.layer_norm(x, scale, offset, epsilon)
    )


@functools.cache
def _xla_batch_norm_leaky_relu(epsilon):
    return xla_kernel(
        lambda x, gamma, beta: reference.batch_norm_leaky_relu(x, gamma, beta, epsilon)
    )
