"""Count the operations of one training step on a GPU, without a GPU.

    python -m benchmarks.launches --output=docs/data/launches.json

We count the operations of the step's graph, after placement and Grappler, with the
kernels of a GPU. Operations of `TRIVIAL` do not count, because they move no data. A
function compiled by XLA counts as one operation.

The counts are of a step with R1. They do not depend on the machine or the batch size.
"""

import os
from unittest import mock

from absl import flags

if __name__ == "__main__":  # Without oneDNN, the graph has the operations of a GPU.
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

from lada_tf import app  # first: it imports TensorFlow without its log lines

# isort: split
import tensorflow as tf
from tensorflow.python.eager import context

from benchmarks.report import print_markdown, write_json
from lada_tf.kernels import switch
from lada_tf.models.losses import METRICS
from lada_tf.models.presets import get_preset
from lada_tf.training.configuration import TrainingOptions
from lada_tf.training.trainer import build

BATCH_SIZE = 2

# Operations that launch nothing: they return their input or change only its shape.
TRIVIAL = {
    *("_Arg", "_Retval", "Const", "NoOp", "Identity", "IdentityN", "StopGradient"),
    *("ReadVariableOp", "AssignVariableOp", "VarHandleOp"),
    *("Reshape", "ExpandDims", "Squeeze", "Shape", "ShapeN", "Rank", "Size"),
    *("BroadcastGradientArgs", "Assert", "PreventGradient"),
}


def main() -> None:
    report = {}
    for preset in flags.FLAGS.presets:
        report[preset] = {"graph_ops": count_step(preset)}
        write_json(flags.FLAGS.output, report)
    print_markdown(
        [
            {"preset": preset, "operations per step": f"{row['graph_ops']:,}"}
            for preset, row in report.items()
        ]
    )


def count_step(preset: str) -> int:
    """Return the number of operations of a training step."""
    gan = build(get_preset(preset, batch_size=BATCH_SIZE), TrainingOptions())
    images = tf.zeros((BATCH_SIZE, gan.image_size, gan.image_size, 3))

    def step(real):
        metrics = gan.train_step(real, with_r1=True)
        return tf.stack([metrics[name] for name in METRICS])

    with mock.patch.object(switch, "cpu_only_with_xla", return_value=False):
        return count_operations(tf.function(step, autograph=False), images)


def count_operations(
    function: tf.types.experimental.PolymorphicFunction, *inputs
) -> int:
    """Run a function once and count the operations of its optimized graph."""
    context.enable_run_metadata()
    try:
        function(*inputs)
        graphs = context.export_run_metadata().function_graphs
    finally:
        context.disable_run_metadata()
    # Functions compiled by XLA have graphs too. The step's graph is the largest one.
    graph = max(
        (graph.post_optimization_graph for graph in graphs),
        key=lambda graph: len(graph.node),
    )
    return sum(node.op not in TRIVIAL for node in graph.node)


if __name__ == "__main__":
    flags.DEFINE_list("presets", ["tiny", "cifar10", "celeba64", "ffhq128"], "Presets.")
    flags.DEFINE_string("output", None, "JSON file to write, after each preset.")
    app.run(main)
