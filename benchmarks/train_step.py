"""Measure a training step against the authors' code: speed, start-up, memory.

    python -m benchmarks.train_step --official=LadaGAN/tensorflow \\
        --official_python=authors-venv/bin/python
    python -m benchmarks.train_step --presets=tiny          # ours only

`--official` is the directory of their TensorFlow code in a checkout of milmor/LadaGAN,
`--official_python` the interpreter of an environment with TensorFlow 2.13.1, pillow,
scipy and tqdm. Each side is a process that is started as its users start it. The sides
take turns on images in memory, and we compare medians over the turns.

"first step" is the time from the start of a process to the end of its first step, for
two processes. "peak" is the memory of the process including TensorFlow's import (about
500 MB), during the first step and during the later ones.
"""

import contextlib
import statistics

from absl import app, flags

from benchmarks.report import machine, print_markdown, ratio, write_json
from benchmarks.sides import both_sides, define_flags

BATCHES = {"cifar10": 16, "celeba64": 8, "ffhq128": 4, "tiny": 16}


def main(argv: list[str]) -> None:
    del argv
    rows = {}
    for preset in flags.FLAGS.presets:
        rows[preset] = measure(preset)
        print(f"{preset}: {rows[preset]}", flush=True)
    print_markdown([cells(preset, row) for preset, row in rows.items()])
    write_json(flags.FLAGS.output, {"machine": machine(), "presets": rows})


def measure(preset: str) -> dict:
    """Return per side its report and seconds per step."""
    sides = both_sides(
        "train",
        preset,
        BATCHES[preset],
        jit_compile=flags.FLAGS.jit_compile,
        precision=flags.FLAGS.precision,
    )
    row: dict[str, dict] = {}
    with contextlib.ExitStack() as stack:
        workers = {}
        for name, side in sides.items():
            starts = []
            for _ in range(flags.FLAGS.starts - 1):
                with side.start() as first:
                    starts.append(first.start_seconds)
            worker = workers[name] = stack.enter_context(side.start())
            starts.append(worker.start_seconds)
            row[name] = worker.first | {"start_seconds": starts, "step_seconds": []}
        steps = {
            side: max(
                1, round(flags.FLAGS.seconds / worker.ask("train", steps=1)["seconds"])
            )
            for side, worker in workers.items()
        }
        for _ in range(flags.FLAGS.turns):
            for side, worker in workers.items():
                turn = worker.ask("train", steps=steps[side])
                row[side]["step_seconds"].append(turn["seconds"] / steps[side])
                row[side]["step_peak_mb"] = turn["peak_mb"]
    return row


def cells(preset: str, row: dict) -> dict[str, str]:
    """Return a preset's line of the table."""
    ours = row["ours"]
    batch = BATCHES[preset]
    step = statistics.median(ours["step_seconds"])
    line = {
        "preset (batch)": f"{preset} ({batch})",
        "images/s": f"{batch / step:.1f}",
        "first step, s": " / ".join(f"{s:.0f}" for s in ours["start_seconds"]),
        "peak MB, start": f"{ours['peak_mb']:.0f}",
        "peak MB, steps": f"{ours['step_peak_mb']:.0f}",
    }
    if official := row.get("official"):
        starts = zip(ours["start_seconds"], official["start_seconds"], strict=True)
        line |= {
            "speed × theirs": ratio(official["step_seconds"], ours["step_seconds"]),
            "first step × theirs": " / ".join(f"{a / b:.2f}" for a, b in starts),
            "peak, start × theirs": f"{ours['peak_mb'] / official['peak_mb']:.2f}",
            "steps × theirs": f"{ours['step_peak_mb'] / official['step_peak_mb']:.2f}",
        }
    return line


if __name__ == "__main__":
    define_flags()
    flags.DEFINE_list("presets", list(BATCHES), "Presets.")
    flags.DEFINE_integer("turns", 5, "Turns per side.", lower_bound=1)
    flags.DEFINE_float("seconds", 5.0, "Seconds per turn, or a step if longer.")
    flags.DEFINE_integer("starts", 2, "Number of timed starts, 1 or 2.", 1, 2)
    flags.DEFINE_bool("jit_compile", False, "Compile our step with XLA.")
    flags.DEFINE_enum(
        "precision",
        "float32",
        ["float32", "bfloat16"],
        "Dtype of our networks' arithmetic.",
    )
    flags.DEFINE_string("output", None, "JSON file to write.")
    app.run(main)
