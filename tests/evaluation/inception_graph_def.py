"""The 2015 Inception graph with its node names and operations, but random weights.

The GraphDef is written by hand because the file has an obsolete batch normalization
that TensorFlow cannot create in new graphs.
"""

import functools
import zlib

import numpy as np
import tensorflow as tf

SPATIAL = "Mixed_6d"  # `mixed_6` in the graph
# Branches of a block: name, channels and kernel of each convolution.
BLOCK_A = (
    "branch1x1 64 1x1",
    "branch5x5_1 48 1x1, branch5x5_2 64 5x5",
    "branch3x3dbl_1 64 1x1, branch3x3dbl_2 96 3x3, branch3x3dbl_3 96 3x3",
)
BLOCK_B = (
    "branch3x3 384 3x3",
    "branch3x3dbl_1 64 1x1, branch3x3dbl_2 96 3x3, branch3x3dbl_3 96 3x3",
)
BLOCK_C = (
    "branch1x1 192 1x1",
    "branch7x7_1 {0} 1x1, branch7x7_2 {0} 1x7, branch7x7_3 192 7x1",
    "branch7x7dbl_1 {0} 1x1, branch7x7dbl_2 {0} 7x1, branch7x7dbl_3 {0} 1x7, "
    "branch7x7dbl_4 {0} 7x1, branch7x7dbl_5 192 1x7",
)
BLOCK_D = (
    "branch3x3_1 192 1x1, branch3x3_2 320 3x3",
    "branch7x7x3_1 192 1x1, branch7x7x3_2 192 1x7, branch7x7x3_3 192 7x1, "
    "branch7x7x3_4 192 3x3",
)
BLOCK_E = (
    "branch1x1 320 1x1",
    "branch3x3_1 384 1x1, branch3x3_2a 384 1x3",
    "branch3x3_1 384 1x1, branch3x3_2b 384 3x1",
    "branch3x3dbl_1 448 1x1, branch3x3dbl_2 384 3x3, branch3x3dbl_3a 384 1x3",
    "branch3x3dbl_1 448 1x1, branch3x3dbl_2 384 3x3, branch3x3dbl_3b 384 3x1",
)
HALVING = {"pool": "MaxPool", "stride": 2, "padding": "VALID"}


@functools.cache
def serialized() -> bytes:
    builder = _Builder()
    x = builder.stem()
    for scope, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
        x = builder.block(x, scope, BLOCK_A, pooled)
    x = builder.block(x, "Mixed_6a", BLOCK_B, **HALVING)
    for letter, width in (("b", 128), ("c", 160), ("d", 160), ("e", 192)):
        branches = [branch.format(width) for branch in BLOCK_C]
        x = builder.block(x, f"Mixed_6{letter}", branches, 192)
    x = builder.block(x, "Mixed_7a", BLOCK_D, **HALVING)
    x = builder.block(x, "Mixed_7b", BLOCK_E, 192)
    x = builder.block(x, "Mixed_7c", BLOCK_E, 192, pool="MaxPool")
    builder.head(x)
    return builder.graph.SerializeToString()


def weights(name, shape):
    """Return weights of the golden cases, named as in the PyTorch port (OIHW)."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("conv.weight"):
        values = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif name.endswith("bn.weight"):
        values = np.ones(shape)
    elif name.endswith("bn.running_var"):
        values = 0.5 + random.random(shape)
    elif name == "fc.weight":
        values = 0.02 * random.standard_normal(shape)
    elif name == "fc.bias":
        values = 0.01 * random.standard_normal(shape)
    else:
        values = 0.1 * random.standard_normal(shape)
    return values.astype(np.float32)


class _Builder:
    def __init__(self):
        self.graph = tf.compat.v1.GraphDef()
        self.graph.versions.producer = 8
        self.channels = {}

    def add(self, op, name, *inputs, **attributes):
        node = self.graph.node.add(op=op, name=name, input=inputs)
        for key, value in attributes.items():
            attribute = node.attr[key]
            if isinstance(value, tf.DType):
                attribute.type = value.as_datatype_enum
            elif isinstance(value, list):
                attribute.list.i.extend(value)
            elif isinstance(value, np.ndarray):
                attribute.tensor.CopyFrom(tf.make_tensor_proto(value))
            elif isinstance(value, str):
                attribute.s = value.encode()
            else:
                setattr(
                    attribute, {bool: "b", int: "i", float: "f"}[type(value)], value
                )
        return name

    def constant(self, name, value):
        value = np.asarray(value)
        return self.add("Const", name, dtype=tf.as_dtype(value.dtype), value=value)

    def stem(self):
        self.add("Placeholder", "Cast", dtype=tf.float32)
        zero = self.constant("ExpandDims/dim", np.int32(0))
        x = self.add("ExpandDims", "ExpandDims", "Cast", zero, T=tf.float32)
        size = self.constant("ResizeBilinear/size", np.array([299, 299], np.int32))
        x = self.add("ResizeBilinear", "ResizeBilinear", x, size, T=tf.float32)
        mean = self.constant("Sub/y", np.float32(128))
        x = self.add("Sub", "Sub", x, mean, T=tf.float32)
        scale = self.constant("Mul/y", np.float32(1 / 128))
        x = self.add("Mul", "Mul", x, scale, T=tf.float32)
        self.channels[x] = 3
        x = self.conv(x, "Conv2d_1a_3x3", 32, 3, 3, stride=2, padding="VALID")
        x = self.conv(x, "Conv2d_2a_3x3", 32, 3, 3, padding="VALID")
        x = self.conv(x, "Conv2d_2b_3x3", 64, 3, 3)
        x = self.pool(x, "MaxPool", "pool", stride=2, padding="VALID")
        x = self.conv(x, "Conv2d_3b_1x1", 80, 1, 1, padding="VALID")
        x = self.conv(x, "Conv2d_4a_3x3", 192, 3, 3, padding="VALID")
        return self.pool(x, "MaxPool", "pool_1", stride=2, padding="VALID")

    def conv(self, x, scope, width, rows, columns, stride=1, padding="SAME"):
        output = "mixed_6/conv" if scope == f"{SPATIAL}.branch1x1" else scope
        if output in self.channels:  # two branches begin with it
            return output
        shape = (width, self.channels[x], rows, columns)
        kernel = weights(f"{scope}.conv.weight", shape).transpose(2, 3, 1, 0)
        mean, variance, beta, gamma = (
            self.constant(f"{scope}/{name}", weights(f"{scope}.bn.{name}", (width,)))
            for name in ("running_mean", "running_var", "bias", "weight")
        )
        y = self.add(
            "Conv2D",
            f"{scope}/Conv2D",
            x,
            self.constant(f"{scope}/conv2d_params", kernel),
            T=tf.float32,
            strides=[1, stride, stride, 1],
            padding=padding,
        )
        y = self.add(
            "BatchNormWithGlobalNormalization",
            f"{scope}/batchnorm",
            *(y, mean, variance, beta, gamma),
            T=tf.float32,
            variance_epsilon=1e-3,
            scale_after_normalization=True,
        )
        self.channels[output] = width
        return self.add("Relu", output, y, T=tf.float32)

    def pool(self, x, op, name, stride=1, padding="SAME", size=3):
        y = self.add(
            op,
            name,
            x,
            T=tf.float32,
            ksize=[1, size, size, 1],
            strides=[1, stride, stride, 1],
            padding=padding,
        )
        self.channels[y] = self.channels[x]
        return y

    def chain(self, x, scope, branch, **last):
        """Add the convolutions of a branch. `last` has options of the last one."""
        convolutions = branch.split(", ")
        for convolution in convolutions:
            suffix, width, kernel = convolution.split()
            shape = int(width), *map(int, kernel.split("x"))
            options = last if convolution is convolutions[-1] else {}
            x = self.conv(x, f"{scope}.{suffix}", *shape, **options)
        return x

    def join(self, name, *branches):
        axis = self.constant(f"{name}/concat_dim", np.int32(3))
        y = self.add("Concat", name, axis, *branches, T=tf.float32, N=len(branches))
        self.channels[y] = sum(self.channels[branch] for branch in branches)
        return y

    def block(self, x, scope, branches, pooled=None, pool="AvgPool", **last):
        outputs = [self.chain(x, scope, branch, **last) for branch in branches]
        y = self.pool(x, pool, f"{scope}/pool", **last)
        if pooled:
            y = self.chain(y, scope, f"branch_pool {pooled} 1x1")
        return self.join(f"{scope}/join", *outputs, y)

    def head(self, x):
        x = self.pool(x, "AvgPool", "pool_3", padding="VALID", size=8)
        shape = self.constant("pool_3/_reshape/shape", np.array([1, 2048], np.int32))
        x = self.add("Reshape", "pool_3/_reshape", x, shape, T=tf.float32)
        kernel = weights("fc.weight", (1008, 2048)).T.copy()
        kernel = self.constant("softmax/weights", kernel)
        x = self.add("MatMul", "softmax/logits/MatMul", x, kernel, T=tf.float32)
        bias = self.constant("softmax/biases", weights("fc.bias", (1008,)))
        x = self.add("BiasAdd", "softmax/logits", x, bias, T=tf.float32)
        self.add("Softmax", "softmax", x, T=tf.float32)
