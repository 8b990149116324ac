"""Measure a training step against the authors' code: speed, start, memory.

    python -m benchmarks.train_step --output=docs/data/train_step_epyc.json \\
        --official=LadaGAN/tensorflow --official_python=authors-venv/bin/python
    python -m benchmarks.train_step --presets=tiny          # ours only

`--official` is the directory of their TensorFlow code in a checkout of milmor/LadaGAN.
`--official_python` is the interpreter of an environment with TensorFlow 2.13.1, pillow,
scipy and tqdm. Each side is a process, started as its users start it. The sides take
turns on images in memory, and we compare medians over the turns.

"start" is the time from the start of a process to the end of its first step. "peak MB"
is the memory of the process during later steps, with about 500 MB for TensorFlow.
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

BATCHES = {"cifar10": 16, "celeba64": 8, "ffhq128": 4, "bedroom128": 4, "tiny": 16}


def main() -> None:
    settings = {
        "jit_compile": flags.FLAGS.jit_compile,
        "precision": flags.FLAGS.precision,
    }
    rows = {}
    for preset in flags.FLAGS.presets:
        batch = BATCHES[preset]
        ours = our_side("train", preset, batch, **settings)
        rows[preset] = measure({"ours": ours, **official_sides("train", preset, batch)})
    print_markdown([cells(preset, row) for preset, row in rows.items()])
    write_json(flags.FLAGS.output, {"machine": machine(), "presets": rows})


def measure(
    sides: dict[str, Side], rounds: dict[str, int] | None = None
) -> dict[str, dict]:
    """Return per side the start, the seconds per step of each turn, and the memory."""
    with contextlib.ExitStack() as stack:
        workers = {
            name: stack.enter_context(side.start()) for name, side in sides.items()
        }
        results = take_turns(
            workers,
            lambda worker, steps: worker.ask("train", steps=steps),
            flags.FLAGS.turns,
            flags.FLAGS.seconds,
            rounds,
        )
        for name, worker in workers.items():
            results[name] |= worker.first | {"start_seconds": worker.start_seconds}
    return results


def cells(preset: str, row: dict) -> dict[str, str]:
    """Return a preset's line of the table."""
    ours = row["ours"]
    batch = BATCHES[preset]
    line = {
        "preset (batch)": f"{preset} ({batch})",
        "images/s": f"{batch / statistics.median(ours['seconds']):.1f}",
        "start, s": f"{ours['start_seconds']:.0f}",
        "peak MB": f"{ours['peak_mb']:.0f}",
    }
    if official := row.get("official"):
        line |= {
            "images/s ×": ratio(official["seconds"], ours["seconds"]),
            "start ×": f"{ours['start_seconds'] / official['start_seconds']:.2f}",
            "peak memory ×": f"{ours['peak_mb'] / official['peak_mb']:.2f}",
        }
    return line


if __name__ == "__main__":
    define_flags(["cifar10", "celeba64", "ffhq128", "tiny"], turns=5, seconds=5.0)
    define_official_flags()
    flags.DEFINE_bool("jit_compile", False, "Compile our step with XLA.")
    flags.DEFINE_enum(
        "precision",
        "float32",
        ["float32", "bfloat16"],
        "Compute in this dtype.",
    )
    app.run(main)
