"""A training step against the authors' code: speed, start, memory, share of the peak.

    python -m benchmarks.train_step --official=LadaGAN/tensorflow \\
        --official_python=authors-venv/bin/python
    python -m benchmarks.train_step --presets=tiny          # ours alone

`--official` is the folder of their TensorFlow code in a checkout of milmor/LadaGAN,
`--official_python` the interpreter of an environment with TensorFlow 2.13.1, pillow,
scipy and tqdm. Each side is a process of its own, as its users start it, and the two
take turns: what is compared is medians over the turns, of images already in memory. In
each turn the machine's own float32 matrix product (2048 × 2048) is timed as well.

Start is the time from the start of a process to the end of its first step, and of a
second such process. Peak memory is the process's, TensorFlow's import (some 500 MB)
included: until the first step is done, and of the steps after it. The FLOPs are those
of the matrix products and convolutions that a step needs.
"""

import contextlib
import statistics

from absl import app, flags

from benchmarks.report import machine, print_markdown, ratio, write_json
from benchmarks.sides import both_sides

BATCHES = {"cifar10": 16, "celeba64": 8, "ffhq128": 4, "tiny": 16}
GEMMS = 8

PRESETS = flags.DEFINE_list("presets", list(BATCHES), "Presets.")
TURNS = flags.DEFINE_integer("turns", 5, "Turns of each side.", lower_bound=1)
SECONDS = flags.DEFINE_float("seconds", 5.0, "Length of a turn, or a step if longer.")
OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")


def main(argv: list[str]) -> None:
    del argv
    rows = {}
    for preset in PRESETS.value:
        rows[preset] = measure(preset)
        print(f"{preset}: {rows[preset]}", flush=True)
    print_markdown([cells(preset, row) for preset, row in rows.items()])
    write_json(OUTPUT.value, {"machine": machine(), "presets": rows})


def measure(preset: str) -> dict:
    """What each side reported, the seconds of its steps, and the GEMM's GFLOP/s."""
    make = both_sides("train", preset, BATCHES[preset])
    row: dict[str, dict] = {}
    with contextlib.ExitStack() as stack:
        workers = {}
        for side, start in make.items():
            with start() as first:
                seconds = first.start_seconds
            worker = workers[side] = stack.enter_context(start())
            row[side] = worker.first | {
                "start_seconds": seconds,
                "second_start_seconds": worker.start_seconds,
                "step_seconds": [],
            }
        steps = {
            side: max(1, round(SECONDS.value / worker.ask("train", steps=1)["seconds"]))
            for side, worker in workers.items()
        }
        row["gemm"] = []
        for _ in range(TURNS.value):
            for side, worker in workers.items():
                turn = worker.ask("train", steps=steps[side])
                row[side]["step_seconds"].append(turn["seconds"] / steps[side])
                row[side]["step_peak_mb"] = turn["peak_mb"]
            row["gemm"].append(workers["ours"].ask("gemm", times=GEMMS))
        row["ours"]["flops"] = workers["ours"].ask("flops")
    return row


def cells(preset: str, row: dict) -> dict[str, str]:
    """A preset's line of the table."""
    ours = row["ours"]
    batch = BATCHES[preset]
    step = statistics.median(ours["step_seconds"])
    share = [
        ours["flops"] / 1e9 / seconds / gemm
        for seconds, gemm in zip(ours["step_seconds"], row["gemm"], strict=True)
    ]
    line = {
        "preset (batch)": f"{preset} ({batch})",
        "images/s": f"{batch / step:.1f}",
        "GFLOP an image": f"{ours['flops'] / 1e9 / batch:.1f}",
        "GFLOP/s": f"{ours['flops'] / 1e9 / step:.0f}",
        "of the GEMM": f"{statistics.median(share):.2f} "
        f"({min(share):.2f}-{max(share):.2f})",
        "first step, s": f"{ours['start_seconds']:.0f}",
        "again, s": f"{ours['second_start_seconds']:.0f}",
        "peak MB, start": f"{ours['peak_mb']:.0f}",
        "steps": f"{ours['step_peak_mb']:.0f}",
    }
    if "official" in row:
        theirs = row["official"]
        line |= {
            "speed × theirs": ratio(theirs["step_seconds"], ours["step_seconds"]),
            "first step": f"{ours['start_seconds'] / theirs['start_seconds']:.2f}",
            "again": f"{ours['second_start_seconds'] / theirs['second_start_seconds']:.2f}",
            "peak, start": f"{ours['peak_mb'] / theirs['peak_mb']:.2f}",
            "peak, steps": f"{ours['step_peak_mb'] / theirs['step_peak_mb']:.2f}",
        }
    return line


if __name__ == "__main__":
    app.run(main)
