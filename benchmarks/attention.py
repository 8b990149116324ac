"""LadaAttention against keras.layers.MultiHeadAttention: time over the tokens.

    python -m benchmarks.attention
    python -m benchmarks.attention --output=attention.json

Forward and backward (gradients of the input and all weights) as one graph, batch 1,
D = 64, 4 heads, N = 64 … 16,384 tokens. At each N the two take turns, and what is
compared is the median of each. The slope is that of log time over log N by least
squares, over N of at least 1,024: below, calling the graph is most of the time.
MultiHeadAttention stops at 4,096, where its scores already take 256 MB a copy.
"""

import json
import statistics
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from lada_tf.layers import LadaAttention

ROUNDS = flags.DEFINE_integer("rounds", 15, "Turns of each layer.", lower_bound=1)
OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")

WIDTH = 64
HEADS = 4
TOKENS = tuple(2**n for n in range(6, 15))
LAST_OF_MULTI_HEAD = 4096
FIRST_OF_SLOPE = 1024


def main(argv: list[str]) -> None:
    del argv
    rows = [measure(tokens) for tokens in TOKENS]
    result = {
        "rows": rows,
        "slope": slope(rows),
        "speedup_at_4096": next(
            row["speedup"] for row in rows if row["tokens"] == LAST_OF_MULTI_HEAD
        ),
    }
    print(f"slope <= 1.05: {result['slope']:.2f}")
    print(f"speed-up at 4,096 tokens >= 20: {result['speedup_at_4096']:.0f}")
    if OUTPUT.value:
        with open(OUTPUT.value, "w") as file:
            json.dump(result, file, indent=1)


def measure(tokens: int) -> dict:
    """Medians in milliseconds at a number of tokens, and their ratio."""
    layers = {"lada_ms": LadaAttention(HEADS)}
    if tokens <= LAST_OF_MULTI_HEAD:
        attention = keras.layers.MultiHeadAttention(HEADS, WIDTH // HEADS)
        inputs = keras.Input((None, WIDTH))
        layers["multi_head_ms"] = keras.Model(inputs, attention(inputs, inputs))
    inputs = tf.random.normal((1, tokens, WIDTH))
    steps = {name: forward_and_backward(layer) for name, layer in layers.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step(inputs)  # traces
    for _ in range(ROUNDS.value):
        for name, step in steps.items():
            start = time.perf_counter()
            step(inputs)[0].numpy()
            times[name].append(1e3 * (time.perf_counter() - start))
    row = {"tokens": tokens}
    row |= {name: statistics.median(values) for name, values in times.items()}
    if "multi_head_ms" in row:
        row["speedup"] = row["multi_head_ms"] / row["lada_ms"]
    cells = (f"{name} {value:8.1f}" for name, value in row.items() if name != "tokens")
    print(f"{tokens:6} tokens ", *cells, flush=True)
    return row


def forward_and_backward(layer):
    @tf.function
    def step(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(layer(inputs) ** 2)
        return tape.gradient(loss, [inputs, *layer.trainable_variables])

    return step


def slope(rows: list[dict]) -> float:
    rows = [row for row in rows if row["tokens"] >= FIRST_OF_SLOPE]
    return float(
        np.polyfit(
            np.log([row["tokens"] for row in rows]),
            np.log([row["lada_ms"] for row in rows]),
            1,
        )[0]
    )


if __name__ == "__main__":
    app.run(main)
