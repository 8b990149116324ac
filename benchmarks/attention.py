"""Measure LadaAttention and MultiHeadAttention: time and memory by number of tokens.

    python -m benchmarks.attention --output=docs/data/attention.json \\
        --plot=docs/images/attention_cost.png

The forward and backward pass (gradients of the input and all weights) runs as one graph
with batch 1, D = 64, 4 heads and N = 64 to 16,384 tokens. The two layers take turns,
and we compare the medians. Memory is the growth of a new process: it runs 64 tokens
first, and then N. The slopes are least-squares fits of log time and log memory over log
N, for N ≥ 1,024. With fewer tokens, calling the graph takes most of the time.
MultiHeadAttention stops at 4,096 tokens, where one copy of its scores takes 256 MB.
"""

from lada_tf import app  # first: it imports TensorFlow without its log lines

# isort: split
import statistics
import time

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from benchmarks.report import machine, print_markdown, write_json
from benchmarks.worker import in_new_process, resident_mb, timed
from lada_tf.layers import LadaAttention

WIDTH = 64
HEADS = 4
FEW_TOKENS = 64
TOKENS = tuple(2**n for n in range(6, 15))
MAX_TOKENS = {"lada": TOKENS[-1], "multi_head": 4096}
MIN_TOKENS_OF_SLOPE = 1024


def multi_head():
    inputs = keras.Input((None, WIDTH))
    attention = keras.layers.MultiHeadAttention(HEADS, WIDTH // HEADS)
    return keras.Model(inputs, attention(inputs, inputs))


LAYERS = {"lada": lambda: LadaAttention(HEADS), "multi_head": multi_head}


def main() -> None:
    rows = [measure(tokens) for tokens in TOKENS]
    print_markdown([cells(row) for row in rows])
    result = {"machine": machine(), "rows": rows}
    for what in ("lada_ms", "lada_mb", "multi_head_ms", "multi_head_mb"):
        result[f"slope_{what}"] = slope(rows, what)
        print(f"slope of {what}: {result[f'slope_{what}']:.2f}")
    write_json(flags.FLAGS.output, result)
    if flags.FLAGS.plot:
        plot(rows, flags.FLAGS.plot)


def measure(tokens: int) -> dict:
    """Return median milliseconds and megabytes of each layer for a number of tokens."""
    row = {"tokens": tokens}
    steps = {
        name: forward_and_backward(make())
        for name, make in LAYERS.items()
        if tokens <= MAX_TOKENS[name]
    }
    inputs = tf.random.normal((1, tokens, WIDTH))
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step(inputs)  # traces
    for _ in range(flags.FLAGS.rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step(inputs)[0].numpy()
            times[name].append(1e3 * (time.perf_counter() - start))
    for name, values in times.items():
        row[f"{name}_ms"] = statistics.median(values)
        if tokens >= MIN_TOKENS_OF_SLOPE:
            row[f"{name}_mb"] = in_new_process(grown_mb, name, tokens)
    return row


def grown_mb(name: str, tokens: int) -> float:
    """Return how much this process grows while a layer runs on many tokens."""
    step = forward_and_backward(LAYERS[name]())
    step(tf.random.normal((1, FEW_TOKENS, WIDTH)))
    before = resident_mb()
    inputs = tf.random.normal((1, tokens, WIDTH))
    return timed(lambda: step(inputs)[0].numpy())["peak_mb"] - before


def forward_and_backward(layer):
    @tf.function(reduce_retracing=True)
    def step(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(layer(inputs) ** 2)
        return tape.gradient(loss, [inputs, *layer.trainable_variables])

    return step


def cells(row: dict) -> dict[str, str]:
    def show(name):
        return f"{row[name]:.1f}" if name in row else ""

    faster = "multi_head_ms" in row and row["multi_head_ms"] / row["lada_ms"]
    return {
        "tokens": f"{row['tokens']:,}",
        "LadaAttention, ms": show("lada_ms"),
        "MultiHeadAttention, ms": show("multi_head_ms"),
        "times as fast": f"{faster:.1f}" if faster else "",
        "LadaAttention, MB": show("lada_mb"),
        "MultiHeadAttention, MB": show("multi_head_mb"),
    }


def slope(rows: list[dict], what: str) -> float:
    rows = [row for row in rows if row["tokens"] >= MIN_TOKENS_OF_SLOPE and what in row]
    logs = (np.log([row[key] for row in rows]) for key in ("tokens", what))
    return float(np.polyfit(*logs, 1)[0])


def plot(rows: list[dict], path: str) -> None:
    from matplotlib.figure import Figure  # an optional dependency

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for axes, unit, label in zip(
        figure.subplots(1, 2), ("ms", "mb"), ("milliseconds", "megabytes"), strict=True
    ):
        for name, title in (
            ("lada", "LadaAttention"),
            ("multi_head", "MultiHeadAttention"),
        ):
            points = [row for row in rows if f"{name}_{unit}" in row]
            axes.loglog(
                [row["tokens"] for row in points],
                [row[f"{name}_{unit}"] for row in points],
                marker="o",
                label=title,
            )
        axes.set(xlabel="tokens", ylabel=label)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(loc="upper left")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 15, "Turns per layer.", lower_bound=1)
    flags.DEFINE_string("output", None, "JSON file to write.")
    flags.DEFINE_string("plot", None, "Picture to write.")
    app.run(main)
