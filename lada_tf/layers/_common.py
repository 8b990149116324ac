"""Shared code of the layers: checks, dense maps, base class of attention layers."""

import operator
from typing import Any

import keras
from keras import ops

from lada_tf import kernels

# exp(-1e9) is 0 in float32. Unlike -inf, it gives no NaN if all tokens are masked.
MASKED_SCORE = -1e9


def network_dtype(
    dtype: str | dict | keras.DTypePolicy | None,
) -> str | dict | keras.DTypePolicy:
    """Return the dtype policy for the `dtype` argument of a network.

    None means Keras' global policy if it keeps weights in float32, as mixed precision
    does; else float32. The `floatx` in keras.json therefore does not change a network.
    """
    if dtype is not None:
        return dtype
    policy = keras.config.dtype_policy()
    return policy if policy.variable_dtype == "float32" else "float32"


def positive_int(name: str, value: Any) -> int:
    """Return a size as an int. Raise ValueError unless it is an integer ≥ 1."""
    try:
        size = operator.index(value)
    except TypeError:
        size = 0
    if size < 1:
        raise ValueError(f"{name}={value!r} must be an integer of at least 1")
    return size


def token_sizes(
    layer: keras.layers.Layer, inputs_shape: tuple, fixed_count: bool = False
) -> tuple[Any, int]:
    """Return N and D of tokens (B, N, D), and set the layer's `input_spec`.

    Args:
        layer: the layer that is being built.
        inputs_shape: shape of its inputs.
        fixed_count: bool. If True, the layer needs a fixed N.

    Raises:
        ValueError: if the rank is not 3, D is unknown, or a fixed N is unknown.
    """
    needs = "a fixed width" + (" and a fixed number of tokens" if fixed_count else "")
    first = 1 if fixed_count else 2
    if len(inputs_shape) != 3 or None in inputs_shape[first:]:
        raise ValueError(
            f"{type(layer).__name__} needs inputs (batch, tokens, width) with {needs}: "
            f"their shape is {tuple(inputs_shape)}"
        )
    axes = {axis: inputs_shape[axis] for axis in range(first, 3)}
    layer.input_spec = keras.InputSpec(ndim=3, axes=axes)
    return tuple(inputs_shape[1:])


def check_input(name: str, x: kernels.Tensor, shape: tuple, advice: str) -> None:
    """Raise ValueError unless x is a float tensor whose known sizes are `shape`.

    Args:
        name: str, name of the argument, for the message.
        x: value of the argument.
        shape: tuple, with None for any size.
        advice: str, end of the message: what to do.
    """
    if not hasattr(x, "shape"):
        raise ValueError(f"{name} must be one tensor, not {type(x).__name__}: {advice}")
    if getattr(x.shape, "rank", 0) is None:  # a TensorFlow tensor of unknown rank
        return
    found = tuple(x.shape)
    dtype = keras.backend.standardize_dtype(x.dtype)
    sizes_fit = len(found) == len(shape) and all(
        a == b or None in (a, b) for a, b in zip(found, shape, strict=True)
    )
    if not sizes_fit or "float" not in dtype:
        raise ValueError(
            f"{name} must be float of the shape {shape}, not {dtype} of the shape "
            f"{found}: {advice}"
        )


def dense(
    owner: keras.layers.Layer,
    units: int,
    name: str,
    activation: str | None = None,
    kernel_initializer: dict | None = None,
) -> "TokenDense":
    """Return a dense sublayer with its owner's dtype policy.

    Args:
        owner: the layer that has the sublayer.
        units: int, width of the outputs.
        name: name of the sublayer.
        activation: name of an activation, or None.
        kernel_initializer: config of an initializer. If None, the owner's.
    """
    return TokenDense(
        units,
        activation=activation,
        kernel_initializer=kernel_initializer or owner.kernel_initializer,
        dtype=owner.dtype_policy,
        name=name,
    )


class TokenDense(keras.layers.Dense):
    """`keras.layers.Dense` that multiplies all tokens of a batch in one matmul.

    For inputs of rank 3, Keras computes shapes in the graph. LiteRT 2.3 then fails to
    convert the layer, or returns wrong numbers from the second call on.
    """

    def call(
        self, inputs: kernels.Tensor, training: bool | None = None
    ) -> kernels.Tensor:
        if len(inputs.shape) == 2:
            return super().call(inputs)
        rows = super().call(ops.reshape(inputs, (-1, inputs.shape[-1])))
        return ops.reshape(rows, (-1, *ops.shape(inputs)[1:-1], self.units))

    def kernel_and_bias(self) -> tuple[kernels.Tensor, kernels.Tensor]:
        """Return the kernel (D, units) and the bias (units,), as floats.

        Quantized kernels have no float values. The layer's outputs for the unit vectors
        are the rows of its kernel.
        """
        if self.quantization_mode is None:
            return self.kernel, self.bias
        width = self.input_spec.axes[-1]
        return self(ops.eye(width)) - self.bias, self.bias

    def quantize(
        self, mode: str | None = None, type_check: bool = True, config: Any = None
    ) -> None:
        """Quantize the kernel, see `keras.layers.Dense.quantize`."""
        # Keras refuses to quantize subclasses, hence type_check=False.
        super().quantize(mode, type_check=False, config=config)

    def save_own_variables(self, store: dict) -> None:
        # The configs of the layers around this one do not store the quantization.
        if self.quantization_mode is not None:
            raise ValueError(
                f"{self.path} is quantized to {self.quantization_mode}, and cannot be "
                "saved: save the model before quantize(), or use export()"
            )
        super().save_own_variables(store)


def initializer_config(identifier: str | dict | keras.initializers.Initializer) -> dict:
    """Return the config of an initializer, given by name, config or object.

    A Keras initializer object returns the same values in each call. With a config, each
    weight gets an initializer of its own, and therefore values of its own.

    Raises:
        ValueError: if there is no such initializer.
    """
    # Create it once: each new initializer draws a seed from Keras' global generator.
    try:
        initializer = (
            kernels.Orthogonal()
            if identifier == "orthogonal"
            else keras.initializers.get(identifier)
        )
    except ValueError as error:
        raise ValueError(f"initializer={identifier!r}: {error}") from error
    if type(initializer) is keras.initializers.Orthogonal:
        initializer = kernels.Orthogonal.from_config(initializer.get_config())
    return keras.initializers.serialize(initializer)


class MultiHeadLayer(keras.layers.Layer):
    """Base class of attention layers with h heads of size d = D / h.

    A layer maps tokens (B, N, D) to tokens (B, N, D). With `return_attention_maps`, it
    also returns maps, float32 (B, h, N).

    Args:
        num_heads: int, h. Must divide D, the width of the inputs.
        kernel_initializer: initializer of every kernel.
    """

    def __init__(
        self, num_heads: int, kernel_initializer: str | dict = "orthogonal", **kwargs
    ):
        super().__init__(**kwargs)
        self.num_heads = positive_int("num_heads", num_heads)
        self.kernel_initializer = initializer_config(kernel_initializer)
        self.input_spec = keras.InputSpec(ndim=3)
        self.supports_masking = True

    def __call__(self, inputs: kernels.Tensor, *args: Any, **kwargs: Any) -> Any:
        if args:
            raise ValueError(
                f"{type(self).__name__} takes one input, not {1 + len(args)}: its "
                "tokens attend to each other. Pass other arguments by name, such as "
                "mask="
            )
        return super().__call__(inputs, **kwargs)

    def build_heads(self, inputs_shape: tuple, fixed_count: bool = False) -> None:
        """Set `head_size`, d. See `token_sizes` for the arguments.

        Raises:
            ValueError: if the inputs are not tokens, or `num_heads` does not divide D.
        """
        _, width = token_sizes(self, inputs_shape, fixed_count)
        if width % self.num_heads:
            raise ValueError(
                f"num_heads={self.num_heads} does not divide the width {width}"
            )
        self.head_size = width // self.num_heads

    def token_map(
        self, name: str, inputs_shape: tuple, units: int | None = None
    ) -> "TokenDense":
        """Build a dense map of tokens with bias, D → `units`. None means D."""
        layer = dense(self, units or inputs_shape[-1], name)
        layer.build(inputs_shape)
        return layer

    def split_heads(self, tokens: kernels.Tensor) -> kernels.Tensor:
        """Reshape tokens (B, N, D) to heads (B, h, N, d)."""
        count = ops.shape(tokens)[1]
        heads = ops.reshape(tokens, (-1, count, self.num_heads, self.head_size))
        return ops.transpose(heads, (0, 2, 1, 3))

    def join_heads(self, heads: kernels.Tensor) -> kernels.Tensor:
        """Reshape heads (B, h, N, d) to tokens (B, N, D)."""
        count = ops.shape(heads)[2]
        tokens = ops.transpose(heads, (0, 2, 1, 3))
        return ops.reshape(tokens, (-1, count, self.num_heads * self.head_size))

    def softmax(
        self, scores: kernels.Tensor, mask: kernels.Tensor | None, axis: int = -1
    ) -> kernels.Tensor:
        """Return the softmax over the tokens. Masked tokens get the weight 0.

        Args:
            scores: float32 tensor with the batch first and N tokens along `axis`.
            mask: bool (B, N), False for masked tokens; or None.
            axis: int, axis of the tokens.
        """
        if mask is not None:
            rank = len(scores.shape)
            others = [i for i in range(1, rank) if i != axis % rank]
            mask = ops.cast(ops.expand_dims(mask, others), "bool")
            scores = ops.where(mask, scores, MASKED_SCORE)
        return ops.softmax(scores, axis=axis)

    def quantize(self, mode: str | None = None, config: Any = None) -> None:
        """Quantize the dense maps, see `keras.layers.Dense.quantize`."""
        for layer in self._flatten_layers(include_self=False):
            layer.quantize(mode, config=config)

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        return tuple(inputs_shape)

    def compute_output_spec(
        self,
        inputs: keras.KerasTensor,
        return_attention_maps: bool = False,
        mask: keras.KerasTensor | None = None,
    ) -> keras.KerasTensor | tuple[keras.KerasTensor, keras.KerasTensor]:
        output = keras.KerasTensor(inputs.shape, self.compute_dtype)
        if not return_attention_maps:
            return output
        maps_shape = (inputs.shape[0], self.num_heads, inputs.shape[1])
        return output, keras.KerasTensor(maps_shape, "float32")

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "kernel_initializer": self.kernel_initializer,
        }
