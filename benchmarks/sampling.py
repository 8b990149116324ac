"""Measure sampling against the authors' code: images per second and peak memory.

    python -m benchmarks.sampling --output=docs/data/sampling_epyc.json \\
        --official=LadaGAN/tensorflow --official_python=authors-venv/bin/python

`benchmarks.train_step` explains the flags. Ours generates images as `lada-tf sample`
does and with a SavedModel, both also compiled by XLA and in bfloat16. Their code
generates images eagerly, as in their trainer. Each way is a process. They take turns,
and we compare medians over the turns.
"""

from lada_tf import app  # first: it imports TensorFlow without its log lines

# isort: split
import contextlib
import statistics

from absl import flags

from benchmarks.report import machine, print_markdown, ratio, write_json
from benchmarks.sides import (
    Side,
    define_flags,
    define_official_flags,
    official_sides,
    our_side,
)
from benchmarks.worker import take_turns

WAYS: dict[str, dict] = {  # way: settings of `benchmarks.ours`
    "graph": {},
    "graph, XLA": {"jit_compile": True},
    "saved model": {"saved_model": True},
    "saved model, XLA": {"saved_model": True, "jit_compile": True},
    "graph, bfloat16": {"precision": "bfloat16"},
    "saved model, bfloat16": {"saved_model": True, "precision": "bfloat16"},
}
BATCHES = ["1", "64"]


def main() -> None:
    results = {}
    for preset in flags.FLAGS.presets:
        ours = {way: our_side("sample", preset, **WAYS[way]) for way in WAYS}
        results[preset] = measure(ours | official_sides("sample", preset))
    rows = [
        cells(preset, batch, side, sides)
        for preset, batches in results.items()
        for batch, sides in batches.items()
        for side in sides
    ]
    print_markdown(rows)
    write_json(flags.FLAGS.output, {"machine": machine(), "presets": results})


def measure(sides: dict[str, Side]) -> dict[str, dict[str, dict]]:
    """Return seconds per call and peak memory, per batch and side."""
    results = {}
    with contextlib.ExitStack() as stack:
        workers = {
            name: stack.enter_context(side.start()) for name, side in sides.items()
        }
        for batch in BATCHES:

            def sample(worker, calls, batch=batch):
                return worker.ask("sample", batch_size=int(batch), calls=calls)

            results[batch] = take_turns(
                workers, sample, flags.FLAGS.turns, flags.FLAGS.seconds
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
        line["images/s ×"] = ratio(official["seconds"], seconds)
        memory = sides[side]["peak_mb"] / official["peak_mb"]
        line["peak memory ×"] = f"{memory:.2f}"
    return line


if __name__ == "__main__":
    define_flags(["cifar10"], turns=7, seconds=2.0)
    define_official_flags()
    app.run(main)
