"""A generator as an ONNX file."""

from lada_tf.models.networks import in_precision
from lada_tf.serving.graph import forward_function

OPSET = 17


def write_onnx(generator, path, precision: str = "float32") -> None:
    """Writes a generator for ONNX Runtime.

    Input: `latents`, float32 (batch, latent_dim), any batch. Outputs: those of
    `forward_function`.

    Args:
        generator: a built `Generator`.
        path: path of the file.
        precision: `"float32"`, or `"float16"`, which stores the weights in half
            precision and widens them when they are read: half the size, the same speed,
            and none of the missing half-precision kernels of processors and browsers.
    """
    import onnx
    import tf2onnx

    function = forward_function(in_precision(generator))
    model, _ = tf2onnx.convert.from_function(
        function, input_signature=function.input_signature, opset=OPSET
    )
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    if precision == "float16":
        _store_in_half(model.graph)
    onnx.checker.check_model(model, full_check=True)
    onnx.helper.set_model_props(model, {"precision": precision})
    onnx.save(model, str(path))


def _store_in_half(graph) -> None:
    """Replaces each float32 weight by a float16 one and a cast back to float32."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weight in graph.initializer:
        array = numpy_helper.to_array(weight)
        if weight.data_type != TensorProto.FLOAT or array.size < 2:
            continue  # constants of the arithmetic, such as epsilon, keep their value
        name = weight.name
        weight.CopyFrom(
            numpy_helper.from_array(array.astype("float16"), f"{name}_half")
        )
        casts.append(
            helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT)
        )
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
