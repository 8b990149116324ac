"""Attention layers by name: the values of `attention` in layers, presets and flags.

To add an attention, follow the recipe in CONTRIBUTING.md.
"""

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras
from keras.src.saving.serialization_lib import (  # Keras exports neither
    SafeModeScope,
    in_safe_mode,
)

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


def make_attention(
    name: str,
    num_heads: int,
    score: str,
    kernel_initializer: str | dict,
    dtype: str | keras.DTypePolicy,
) -> keras.layers.Layer:
    """Return a new attention layer.

    Args:
        name: one of `NAMES`. For your own layer, its registered name
            (`keras.saving.register_keras_serializable`) or `"module:Class"`.
        num_heads: int.
        score: score form of `LadaAttention`. Other layers do not have one.
        kernel_initializer: initializer of every kernel.
        dtype: dtype policy.

    Your own layer must accept `num_heads`, `kernel_initializer`, `dtype` and `name`. It
    is called with tokens (B, N, D) and `return_attention_maps=True`. It must return
    tokens (B, N, D) and maps, float32 (B, num_heads, N).

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
    layer = attention_class(inner)
    if name in WINDOWED:
        return WindowAttention(layer(**options), dtype=dtype, name="attention")
    return layer(**options, name="attention")


def attention_class(name: str) -> type[keras.layers.Layer]:
    """Return the class of an attention layer. For `module:Class`, import the module.

    Raises:
        ValueError: if there is no such attention.
    """
    if not isinstance(name, str):
        raise ValueError(f"attention={name!r} must be a name, see {NAMES}")
    layer = ATTENTIONS.get(WINDOWED.get(name, name))
    layer = layer or keras.saving.get_registered_object(name)
    module, colon, attribute = name.partition(":")
    if layer is None and not colon:
        raise ValueError(
            f"attention={name!r} is not one of {NAMES} or module:Class of a layer"
        )
    try:
        layer = layer or getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"attention={name!r} cannot be imported: {error}") from error
    if not (isinstance(layer, type) and issubclass(layer, keras.layers.Layer)):
        raise ValueError(
            f"attention={name!r} is not a Keras layer: name a subclass of "
            "keras.layers.Layer"
        )
    return layer


def check_trusted(name: Any) -> None:
    """Refuse an attention of a saved config if its name would import code.

    Otherwise, a file with `module:Class` could run any importable code. Built-in names
    and classes that are registered with Keras are trusted. This function imports
    nothing, so call it before any use of the name.

    Args:
        name: the attention in a config that is being deserialized.

    Raises:
        ValueError: unless Keras' safe mode is off.
    """
    is_known = isinstance(name, str) and keras.saving.get_registered_object(name)
    is_import = ":" in str(name) and not is_known
    if is_import and in_safe_mode() is not False:
        raise ValueError(
            f"attention={name!r}: the saved config names code to import. If you trust "
            "its source, load it with safe_mode=False, with the class in "
            "custom_objects, or after keras.config.enable_unsafe_deserialization()"
        )


@contextlib.contextmanager
def trusting(
    custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True
) -> Iterator[None]:
    """Use these arguments of `keras.saving.load_model` for deserialization in the body.

    Args:
        custom_objects: classes by the names that saved configs use.
        safe_mode: bool. If True, refuse configs that name code to import.
    """
    mode = in_safe_mode() if safe_mode else False
    scope: Any = contextlib.nullcontext()
    if custom_objects:  # an empty scope would hide the objects of an outer one
        scope = keras.saving.custom_object_scope(custom_objects)
    with scope, SafeModeScope(mode):
        yield
