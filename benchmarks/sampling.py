"""Sampling against the authors' code: images a second and peak memory.

    python -m benchmarks.sampling --official=LadaGAN/tensorflow \\
        --official_python=authors-venv/bin/python

Both flags as in `benchmarks.train_step`. Ours makes images as `lada_tf.sample` does,
and as a SavedModel that was just loaded, as either with `jit_compile`, and as either in
bfloat16; theirs as their trainer does, eagerly. Each is a process of its own; they take
turns, and medians over the turns are compared.
"""

import contextlib
import statistics

from absl import app, flags

from benchmarks.report import machine, print_markdown, ratio, write_json
from benchmarks.sides import define_flags, in_ways
from benchmarks.worker import take_turns

WAYS = {
    "graph": {"saved_model": False, "jit_compile": False},
    "graph, XLA": {"saved_model": False, "jit_compile": True},
    "saved model": {"saved_model": True, "jit_compile": False},
    "saved model, XLA": {"saved_model": True, "jit_compile": True},
    "graph, bfloat16": {
        "saved_model": False,
        "jit_compile": False,
        "precision": "bfloat16",
    },
    "saved model, bfloat16": {
        "saved_model": True,
        "jit_compile": False,
        "precision": "bfloat16",
    },
}


def main(argv: list[str]) -> None:
    del argv
    found = {preset: measure(preset) for preset in flags.FLAGS.presets}
    rows = [
        cells(preset, batch, side, sides)
        for preset, batches in found.items()
        for batch, sides in batches.items()
        for side in sides
    ]
    print_markdown(rows)
    write_json(flags.FLAGS.output, {"machine": machine(), "presets": found})


def measure(preset: str) -> dict:
    """By batch and side: the seconds of a call, and the process's peak memory."""
    makers = in_ways("sample", preset, 1, WAYS)
    found: dict[str, dict] = {}
    with contextlib.ExitStack() as stack:
        workers = {side: stack.enter_context(make()) for side, make in makers.items()}
        for batch in flags.FLAGS.batches:

            def sample(worker, calls, batch=batch):
                return worker.ask("sample", batch_size=int(batch), calls=calls)

            found[batch] = take_turns(
                workers,
                sample,
                dict.fromkeys(workers, 1),
                flags.FLAGS.turns,
                flags.FLAGS.seconds,
                warm_ups=2,  # the first one traces
            )
    return found


def cells(preset: str, batch: str, side: str, sides: dict) -> dict[str, str]:
    """The table's line of one side."""
    seconds = sides[side]["seconds"]
    line = {
        "preset": preset,
        "batch": batch,
        "side": side,
        "images/s": f"{int(batch) / statistics.median(seconds):.1f}",
        "peak MB": f"{sides[side]['peak_mb']:.0f}",
    }
    if theirs := sides.get("official"):
        line["speed × theirs"] = ratio(theirs["seconds"], seconds)
        memory = sides[side]["peak_mb"] / theirs["peak_mb"]
        line["memory × theirs"] = f"{memory:.2f}"
    return line


if __name__ == "__main__":
    define_flags()
    flags.DEFINE_list("presets", ["cifar10"], "Presets.")
    flags.DEFINE_list("batches", ["1", "64"], "Images a call.")
    flags.DEFINE_integer("turns", 7, "Turns of each side.", lower_bound=1)
    flags.DEFINE_float("seconds", 2.0, "Length of a turn, or a call if longer.")
    flags.DEFINE_string("output", None, "JSON file to write.")
    app.run(main)
