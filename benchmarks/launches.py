"""Count what one training step launches on a GPU, without a GPU.

    python -m benchmarks.launches --output=docs/data/launches.json
    python -m benchmarks.launches --presets=tiny --hlo     # XLA compiles the step too

"graph ops" are the operations of the step as a graph, after placement and Grappler,
with the kernels of a GPU. Operations of `TRIVIAL` are left out, because they move no
data. "XLA clusters" are those graph ops that call a function compiled by XLA. A cluster
can run several kernels, but TensorFlow schedules it once.

With `--hlo`, XLA compiles the whole step. "fusions" and "library calls" (matmuls and
convolutions) are counted in the entry computation and in all computations. XLA compiles
for the CPU here. On a GPU it joins more operations into one fusion, so these counts are
upper bounds.

The counts are of a step with R1. They do not depend on the machine or the batch size.
"""

import os
import re
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
FUSIONS = {"fusion", "reduce", "scatter", "sort", "select-and-scatter"}
LIBRARY_CALLS = {"custom-call", "dot", "convolution"}


def main() -> None:
    report = {}
    for preset in flags.FLAGS.presets:
        report[preset] = count(preset, flags.FLAGS.hlo)
        write_json(flags.FLAGS.output, report)
    print_markdown([cells(preset, row) for preset, row in report.items()])


def count(preset: str, hlo: bool = False) -> dict:
    """Return the counts of a training step."""
    gan = build(get_preset(preset, batch_size=BATCH_SIZE), TrainingOptions())
    images = tf.zeros((BATCH_SIZE, gan.image_size, gan.image_size, 3))

    def step(real):
        metrics = gan.train_step(real, with_r1=True)
        return tf.stack([metrics[name] for name in METRICS])

    with mock.patch.object(switch, "cpu_only_with_xla", return_value=False):
        row = count_graph(tf.function(step, autograph=False), images)
        if hlo:
            compiled = tf.function(step, autograph=False, jit_compile=True)
            row["hlo"] = count_hlo(compiled, images)
    return row


def count_graph(function: tf.types.experimental.PolymorphicFunction, *inputs) -> dict:
    """Run a function once and count the operations of its optimized graph."""
    context.enable_run_metadata()
    try:
        function(*inputs)
        graphs = context.export_run_metadata().function_graphs
    finally:
        context.disable_run_metadata()
    # XLA compiles in a run too, so the step's graph is the largest of several.
    graph = max(
        (graph.post_optimization_graph for graph in graphs),
        key=lambda graph: len(graph.node),
    )
    nodes = [node for node in graph.node if node.op not in TRIVIAL]
    return {
        "graph_ops": len(nodes),
        "xla_clusters": sum("f" in node.attr for node in nodes),
    }


def count_hlo(function: tf.types.experimental.PolymorphicFunction, *inputs) -> dict:
    """Return the numbers of fusions and library calls after XLA's optimizations."""
    text = function.experimental_get_compiler_ir(*inputs)(stage="optimized_hlo")
    computations = re.split(r"\n(?=\S.*\{\n)", text)
    (entry,) = (part for part in computations if part.startswith("ENTRY"))
    return {"entry": _kinds(entry), "all": _kinds(text)}


def _kinds(hlo):
    names = re.findall(r"^\s+(?:ROOT )?%?\S+ = (?:\(.*?\)|\S+) ([\w-]+)\(", hlo, re.M)
    return {
        "fusions": sum(name in FUSIONS for name in names),
        "library_calls": sum(name in LIBRARY_CALLS for name in names),
    }


def cells(preset: str, row: dict) -> dict[str, str]:
    """Return the table's line of one preset."""
    line = {
        "preset": preset,
        "graph ops": f"{row['graph_ops']:,}",
        "XLA clusters": f"{row['xla_clusters']:,}",
    }
    if "hlo" in row:
        for part, counts in row["hlo"].items():
            line[f"fusions, {part}"] = f"{counts['fusions']:,}"
            line[f"library calls, {part}"] = f"{counts['library_calls']:,}"
    return line


if __name__ == "__main__":
    flags.DEFINE_list("presets", ["tiny", "cifar10", "celeba64", "ffhq128"], "Presets.")
    flags.DEFINE_bool("hlo", False, "Compile each whole step with XLA: 1 to 3 minutes.")
    flags.DEFINE_string("output", None, "JSON file to write, after each preset.")
    app.run(main)
