"""Measure sampling against the authors' code: images per second and peak memory.

    python -m benchmarks.sampling --official=LadaGAN/tensorflow \\
        --official_python=authors-venv/bin/python

See `benchmarks.train_step` for both flags. Ours generates images as `lada_tf.sample`
does and with a SavedModel, both also with `jit_compile` and in bfloat16. Theirs
generates them as their trainer does, eagerly. Each is a process; they take turns, and
we compare medians over the turns.
"""

import contextlib
import statistics

from absl import app, flags

from benchmarks.report import machine, print_markdown, ratio, write_json
from benchmarks.sides import define_flags, sides_of_ways
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
    results = {preset: measure(preset) for preset in flags.FLAGS.presets}
    rows = [
        cells(preset, batch, side, sides)
        for preset, batches in results.items()
        for batch, sides in batches.items()
        for side in sides
    ]
    print_markdown(rows)
    write_json(flags.FLAGS.output, {"machine": machine(), "presets": results})


def measure(preset: str) -> dict:
    """Return seconds per call and peak memory, per batch and side."""
    sides = sides_of_ways("sample", preset, 1, WAYS)
    results: dict[str, dict] = {}
    with contextlib.ExitStack() as stack:
        workers = {
            name: stack.enter_context(side.start()) for name, side in sides.items()
        }
        for batch in flags.FLAGS.batches:

            def sample(worker, calls, batch=batch):
                return worker.ask("sample", batch_size=int(batch), calls=calls)

            results[batch] = take_turns(
                workers,
                sample,
                dict.fromkeys(workers, 1),
                flags.FLAGS.turns,
                flags.FLAGS.seconds,
                warm_ups=2,  # the first one traces
            )
    return results


def cells(preset: str, batch: str, side: str, sides: dict) -> dict[str, str]:
    """Return the table's line of one side."""
    seconds = sides[side]["seconds"]
    line = {
        "preset": preset,
        "batch": batch,
        "side": side,
        "images/s": f"{int(batch) / statistics.median(seconds):.1f}",
        "peak MB": f"{sides[side]['peak_mb']:.0f}",
    }
    if official := sides.get("official"):
        line["speed × theirs"] = ratio(official["seconds"], seconds)
        memory = sides[side]["peak_mb"] / official["peak_mb"]
        line["memory × theirs"] = f"{memory:.2f}"
    return line


if __name__ == "__main__":
    define_flags()
    flags.DEFINE_list("presets", ["cifar10"], "Presets.")
    flags.DEFINE_list("batches", ["1", "64"], "Images per call.")
    flags.DEFINE_integer("turns", 7, "Turns per side.", lower_bound=1)
    flags.DEFINE_float("seconds", 2.0, "Seconds per turn, or a call if longer.")
    flags.DEFINE_string("output", None, "JSON file to write.")
    app.run(main)
