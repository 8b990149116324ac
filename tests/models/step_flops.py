"""Count the floating-point operations of a training step."""

import tensorflow as tf

from lada_tf import kernels


def count_step_flops(gan, batch_size: int) -> int:
    """Return the FLOPs of all matmuls and convolutions in one training step.

    They are counted in the step's graph, as far as its results depend on them: forward,
    backward, and through R1's gradient. The rest (normalization, Adam, EMA) is left
    out. The operations are those of the reference, without the fast algorithms of
    `lada_tf.kernels`.

    Args:
        gan: a compiled `LadaGAN`.
        batch_size: int, images of the step.
    """
    images = tf.TensorSpec((batch_size, gan.image_size, gan.image_size, 3))
    with kernels.fast(False):
        step = tf.function(gan.train_step, autograph=False)
        graph = step.get_concrete_function(images).graph
    waiting = [*(tensor.op for tensor in graph.outputs), *graph.control_outputs]
    needed = set()
    while waiting:
        operation = waiting.pop()
        if operation not in needed:
            needed.add(operation)
            waiting += [tensor.op for tensor in operation.inputs]
            waiting += operation.control_inputs
    return sum(map(_matmul_flops, needed))


def _matmul_flops(operation: tf.Operation) -> int:
    """Return 2 × multiply-adds of a matmul or convolution; 0 for other operations."""
    if not operation.outputs:
        return 0
    inputs, output = operation.inputs, operation.outputs[0]
    match operation.type:
        case "MatMul" | "BatchMatMulV2":
            flag = "transpose_a" if operation.type == "MatMul" else "adj_x"
            inner = inputs[0].shape[-2 if operation.get_attr(flag) else -1]
            return 2 * output.shape.num_elements() * inner
        case "Conv2D":  # a kernel (height, width, input channels, output channels)
            products, kernel = output.shape, inputs[1].shape
        case "Conv2DBackpropInput":
            products, kernel = inputs[2].shape, inputs[1].shape
        case "Conv2DBackpropFilter":
            products, kernel = inputs[2].shape, output.shape
        case _:
            return 0
    return 2 * products.num_elements() * kernel[:3].num_elements()
