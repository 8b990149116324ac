"""Convert a generator to a single file for ONNX Runtime or LiteRT.

Both files map `latents`, float32 (batch, latent_dim) with any batch size, to the
outputs of `lada_tf.sampling.forward_function`.
"""

from pathlib import Path

import tensorflow as tf

from lada_tf.models import Generator
from lada_tf.models.networks import copy_generator
from lada_tf.sampling import forward_function
from lada_tf.serving.saved_model import as_module

ONNX_OPSET = 17


def write_litert(generator: Generator, path: Path, precision: str = "float32") -> None:
    """Write a LiteRT (TensorFlow Lite) file that needs only builtin operations.

    The weights are float32, float16 or int8 (dynamic range quantization).
    """
    generator = copy_generator(generator)
    function = forward_function(generator)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], as_module(generator, forward=function)
    )
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    path.write_bytes(converter.convert())


def write_onnx(generator: Generator, path: Path, precision: str = "float32") -> None:
    """Write an ONNX file with float32 or float16 weights.

    Arithmetic is float32, because CPUs and browsers often lack float16 kernels.
    """
    import onnx
    import tf2onnx

    function = forward_function(copy_generator(generator))
    model, _ = tf2onnx.convert.from_function(
        function, input_signature=function.input_signature, opset=ONNX_OPSET
    )
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    if precision == "float16":
        _store_weights_as_float16(model.graph)
    onnx.checker.check_model(model, full_check=True)
    onnx.helper.set_model_props(model, {"precision": precision})
    onnx.save(model, str(path))


def _store_weights_as_float16(graph) -> None:
    """Replace each float32 weight by a float16 weight and a cast to float32."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weight in graph.initializer:
        array = numpy_helper.to_array(weight)
        if weight.data_type != TensorProto.FLOAT or array.size < 2:
            continue  # scalars such as epsilon keep their exact value
        name, stored = weight.name, f"{weight.name}_half"
        weight.CopyFrom(numpy_helper.from_array(array.astype("float16"), stored))
        casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
