"""Updates of all variables at once: the same values, and few operations."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lada_tf import kernels
from lada_tf.kernels import FusedAdam, switch

SHAPES = [(7, 3), (3,), (2, 2, 3)] * 2


@pytest.fixture
def as_on_gpu(monkeypatch):
    """Use the kernels for GPUs on the CPU."""
    monkeypatch.setattr(switch, "cpu_only_with_xla", lambda: False)


def draw(first_seed, change=lambda x: x):
    return [
        keras.Variable(change(keras.random.normal(shape, seed=first_seed + i)))
        for i, shape in enumerate(SHAPES)
    ]


def adam():
    optimizer = FusedAdam(0.01, beta_1=0.5, beta_2=0.99)
    variables, gradients = draw(0), draw(20)
    optimizer.build(variables)

    def step():
        optimizer.apply(
            [g.value + v for g, v in zip(gradients, variables, strict=True)], variables
        )

    return step, [*variables, *optimizer.variables]


def averages():
    means, weights = draw(0), draw(20)
    return lambda: kernels.move_averages(means, weights, 0.25), [*means, *weights]


def norm():
    result = keras.Variable(0.0)
    tensors = draw(0)
    return lambda: result.assign(kernels.global_norm(tensors)), [result]


@pytest.mark.usefixtures("as_on_gpu")
@pytest.mark.parametrize("make", [adam, averages, norm])
def test_one_kernel_updates_all_variables_by_the_same_values(make):
    ends, operations = [], []
    for enabled in (False, True):
        step, variables = make()

        def in_graph(step=step, enabled=enabled):
            with kernels.fast(enabled):
                step()

        step = tf.function(in_graph, autograph=False)
        for _ in range(3):
            step()
        graph = step.get_concrete_function().graph
        operations.append([op.type for op in graph.get_operations()])
        ends.append([variable.numpy() for variable in variables])
    for plain, together in zip(*ends, strict=True):
        np.testing.assert_allclose(together, plain, rtol=1e-5, atol=1e-7)
    assert operations[1].count("PartitionedCall") == 1
    assert not {"ResourceApplyAdam", "L2Loss", "Sub"} & set(operations[1])


def test_cpus_keep_one_operation_per_variable():
    step, _ = adam()
    with kernels.fast():
        graph = tf.function(step, autograph=False).get_concrete_function().graph
    types = [op.type for op in graph.get_operations()]
    assert types.count("ResourceApplyAdam") == len(SHAPES)
