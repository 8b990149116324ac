"""The 2015 Inception graph with its node names and operations, but random weights.

The GraphDef is written by hand because the file has an obsolete batch normalization
that TensorFlow cannot create in new graphs.
"""

import functools
import zlib

import numpy as np
import tensorflow as tf

POOLED = {"Mixed_5b": 32, "Mixed_5c": 64, "Mixed_5d": 64}
MIDDLE = {"Mixed_6b": 128, "Mixed_6c": 160, "Mixed_6d": 160, "Mixed_6e": 192}
SPATIAL = "Mixed_6d"  # `mixed_6` in the graph


@functools.cache
def serialized() -> bytes:
    builder = _Builder()
    x = builder.stem()
    for scope, width in POOLED.items():
        x = builder.block_a(x, scope, width)
    x = builder.block_b(x, "Mixed_6a")
    for scope, width in MIDDLE.items():
        x = builder.block_c(x, scope, width)
    x = builder.block_d(x, "Mixed_7a")
    x = builder.block_e(x, "Mixed_7b", "AvgPool")
    x = builder.block_e(x, "Mixed_7c", "MaxPool")
    builder.head(x)
    return builder.graph.SerializeToString()


def weights(name, shape):
    """The golden cases' weights, by the PyTorch port's names (kernels OIHW)."""
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
            elif isinstance(value, bool):
                attribute.b = value
            elif isinstance(value, float):
                attribute.f = value
            elif isinstance(value, int):
                attribute.i = value
            elif isinstance(value, list):
                attribute.list.i.extend(value)
            elif isinstance(value, str):
                attribute.s = value.encode()
            else:
                attribute.tensor.CopyFrom(tf.make_tensor_proto(value))
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
        name = "mixed_6/conv" if scope == f"{SPATIAL}.branch1x1" else scope
        y = self.add("Relu", name, y, T=tf.float32)
        self.channels[y] = width
        return y

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

    def chain(self, x, scope, *layers, **last):
        """Convolutions in a row: (suffix, width, rows, columns)."""
        for index, (suffix, *shape) in enumerate(layers):
            options = last if index == len(layers) - 1 else {}
            x = self.conv(x, f"{scope}.{suffix}", *shape, **options)
        return x

    def join(self, name, *branches):
        axis = self.constant(f"{name}/concat_dim", np.int32(3))
        y = self.add("Concat", name, axis, *branches, T=tf.float32, N=len(branches))
        self.channels[y] = sum(self.channels[branch] for branch in branches)
        return y

    def block_a(self, x, scope, pooled):
        pool = self.pool(x, "AvgPool", f"{scope}/pool")
        return self.join(
            f"{scope}/join",
            self.chain(x, scope, ("branch1x1", 64, 1, 1)),
            self.chain(x, scope, ("branch5x5_1", 48, 1, 1), ("branch5x5_2", 64, 5, 5)),
            self.chain(
                x,
                scope,
                ("branch3x3dbl_1", 64, 1, 1),
                ("branch3x3dbl_2", 96, 3, 3),
                ("branch3x3dbl_3", 96, 3, 3),
            ),
            self.chain(pool, scope, ("branch_pool", pooled, 1, 1)),
        )

    def block_b(self, x, scope):
        halving = {"stride": 2, "padding": "VALID"}
        return self.join(
            f"{scope}/join",
            self.chain(x, scope, ("branch3x3", 384, 3, 3), **halving),
            self.chain(
                x,
                scope,
                ("branch3x3dbl_1", 64, 1, 1),
                ("branch3x3dbl_2", 96, 3, 3),
                ("branch3x3dbl_3", 96, 3, 3),
                **halving,
            ),
            self.pool(x, "MaxPool", f"{scope}/pool", **halving),
        )

    def block_c(self, x, scope, width):
        pool = self.pool(x, "AvgPool", f"{scope}/pool")
        return self.join(
            f"{scope}/join",
            self.chain(x, scope, ("branch1x1", 192, 1, 1)),
            self.chain(
                x,
                scope,
                ("branch7x7_1", width, 1, 1),
                ("branch7x7_2", width, 1, 7),
                ("branch7x7_3", 192, 7, 1),
            ),
            self.chain(
                x,
                scope,
                ("branch7x7dbl_1", width, 1, 1),
                ("branch7x7dbl_2", width, 7, 1),
                ("branch7x7dbl_3", width, 1, 7),
                ("branch7x7dbl_4", width, 7, 1),
                ("branch7x7dbl_5", 192, 1, 7),
            ),
            self.chain(pool, scope, ("branch_pool", 192, 1, 1)),
        )

    def block_d(self, x, scope):
        halving = {"stride": 2, "padding": "VALID"}
        return self.join(
            f"{scope}/join",
            self.chain(
                x,
                scope,
                ("branch3x3_1", 192, 1, 1),
                ("branch3x3_2", 320, 3, 3),
                **halving,
            ),
            self.chain(
                x,
                scope,
                ("branch7x7x3_1", 192, 1, 1),
                ("branch7x7x3_2", 192, 1, 7),
                ("branch7x7x3_3", 192, 7, 1),
                ("branch7x7x3_4", 192, 3, 3),
                **halving,
            ),
            self.pool(x, "MaxPool", f"{scope}/pool", **halving),
        )

    def block_e(self, x, scope, pool):
        once = self.chain(x, scope, ("branch3x3_1", 384, 1, 1))
        twice = self.chain(
            x, scope, ("branch3x3dbl_1", 448, 1, 1), ("branch3x3dbl_2", 384, 3, 3)
        )
        pooled = self.pool(x, pool, f"{scope}/pool")
        return self.join(
            f"{scope}/join",
            self.chain(x, scope, ("branch1x1", 320, 1, 1)),
            self.chain(once, scope, ("branch3x3_2a", 384, 1, 3)),
            self.chain(once, scope, ("branch3x3_2b", 384, 3, 1)),
            self.chain(twice, scope, ("branch3x3dbl_3a", 384, 1, 3)),
            self.chain(twice, scope, ("branch3x3dbl_3b", 384, 3, 1)),
            self.chain(pooled, scope, ("branch_pool", 192, 1, 1)),
        )

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
