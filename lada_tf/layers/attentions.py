"""The attention layers by name: what `attention` may be in a block, a preset, a flag."""

import importlib

import keras

from lada_tf.layers.dot_product_attention import DotProductAttention
from lada_tf.layers.fastformer_attention import FastformerAttention
from lada_tf.layers.lada_attention import LadaAttention
from lada_tf.layers.linformer_attention import LinformerAttention
from lada_tf.layers.window_attention import WindowAttention

ATTENTIONS = {
    "lada": LadaAttention,
    "fastformer": FastformerAttention,
    "linformer": LinformerAttention,
    "dot_product": DotProductAttention,
}
WINDOWED = {"swin": "dot_product", "lada_swin": "lada"}
NAMES = (*ATTENTIONS, *WINDOWED)


def make_attention(name, num_heads, score, kernel_initializer, dtype):
    """The attention layer of that name.

    Args:
        name: one of `NAMES`, or `"module:Class"` for a Keras layer of your own. It is
            made with `num_heads`, `kernel_initializer`, `dtype` and `name`, and called
            with tokens (B, N, D) and `return_attention_maps=True`, for which it returns
            tokens (B, N, D) and float32 maps (B, num_heads, N).
        num_heads: int.
        score: score form of `LadaAttention`; the others have none.
        kernel_initializer: initializer of every kernel.
        dtype: dtype policy.

    Raises:
        ValueError: if there is no such attention.
    """
    options = {
        "num_heads": num_heads,
        "kernel_initializer": kernel_initializer,
        "dtype": dtype,
    }
    inner = WINDOWED.get(name, name)
    if inner == "lada":
        options["score"] = score
    layer = ATTENTIONS[inner] if inner in ATTENTIONS else _imported(name)
    if name in WINDOWED:
        return WindowAttention(layer(**options), dtype=dtype, name="attention")
    return layer(**options, name="attention")


def check_attention(name):
    """Raises ValueError if `make_attention` knows no attention of that name."""
    if name not in NAMES:
        _imported(name)


def _imported(name):
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(
            f"attention={name!r} is not one of {NAMES}, nor module:Class of a layer"
        )
    try:
        layer = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"attention={name!r} cannot be imported: {error}") from error
    if not (isinstance(layer, type) and issubclass(layer, keras.layers.Layer)):
        raise ValueError(f"attention={name!r} is not a Keras layer")
    return layer
