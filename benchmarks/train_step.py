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
of the matrix products and convolutions that a step needs, by their definition;
`flops_computed` is what is left of them with Winograd's algorithm. Host is the share of
the time that passes outside the calls of the graph: Python, the progress bar, reading
metrics.
"""

import contextlib
import statistics
import sys

from absl import app, flags

from benchmarks.report import machine, print_markdown, ratio, write_json
from benchmarks.sides import both_sides, define_flags
from benchmarks.worker import Worker
from lada_tf.training.options import AUTO

BATCHES = {"cifar10": 16, "celeba64": 8, "ffhq128": 4, "tiny": 16}
GEMMS = 8


def main(argv: list[str]) -> None:
    del argv
    rows = {}
    for preset in flags.FLAGS.presets:
        rows[preset] = measure(preset)
        print(f"{preset}: {rows[preset]}", flush=True)
    print_markdown([cells(preset, row) for preset, row in rows.items()])
    write_json(flags.FLAGS.output, {"machine": machine(), "presets": rows})


def measure(preset: str) -> dict:
    """What each side reported, the seconds of its steps, and the GEMM's GFLOP/s."""
    make = both_sides(
        "train",
        preset,
        BATCHES[preset],
        jit_compile=AUTO[flags.FLAGS.jit_compile],
        precision=flags.FLAGS.precision,
    )
    settings = {"task": "multiply", "precision": flags.FLAGS.precision}
    row: dict[str, dict] = {}
    with contextlib.ExitStack() as stack:
        workers = {}
        for side, start in make.items():
            starts = []
            for _ in range(flags.FLAGS.starts - 1):
                with start() as first:
                    starts.append(first.start_seconds)
            worker = workers[side] = stack.enter_context(start())
            starts.append(worker.start_seconds)
            row[side] = worker.first | {"start_seconds": starts, "step_seconds": []}
        steps = {
            side: max(
                1, round(flags.FLAGS.seconds / worker.ask("train", steps=1)["seconds"])
            )
            for side, worker in workers.items()
        }
        multiplier = Worker(sys.executable, "benchmarks.ours", settings)
        stack.enter_context(multiplier)
        row["gemm"] = []
        for _ in range(flags.FLAGS.turns):
            for side, worker in workers.items():
                turn = worker.ask("train", steps=steps[side])
                row[side]["step_seconds"].append(turn["seconds"] / steps[side])
                row[side]["step_peak_mb"] = turn["peak_mb"]
            row["gemm"].append(multiplier.ask("gemm", times=GEMMS))
        for _ in range(2):  # the first one warms up
            share = workers["ours"].ask("host_share", steps=4 * steps["ours"])
        row["ours"]["host_share"] = share
        row["ours"]["flops"] = workers["ours"].ask("flops")
        computed = workers["ours"].ask("flops", as_defined=False)
        row["ours"]["flops_computed"] = computed
    return row


def cells(preset: str, row: dict) -> dict[str, str]:
    """A preset's line of the table."""
    ours = row["ours"]
    batch = BATCHES[preset]
    step = statistics.median(ours["step_seconds"])
    giga = ours["flops"] / 1e9
    ideal = [giga / gemm for gemm in row["gemm"]]
    line = {
        "preset (batch)": f"{preset} ({batch})",
        "images/s": f"{batch / step:.1f}",
        "GFLOP an image": f"{giga / batch:.2f}",
        "GFLOP/s": f"{giga / step:.0f}",
        "of the GEMM": ratio(ideal, ours["step_seconds"]),
        "host": f"{100 * ours['host_share']:.1f} %",
        "first step, s": " / ".join(f"{s:.0f}" for s in ours["start_seconds"]),
        "peak MB, start": f"{ours['peak_mb']:.0f}",
        "peak MB, steps": f"{ours['step_peak_mb']:.0f}",
    }
    if theirs := row.get("official"):
        starts = zip(ours["start_seconds"], theirs["start_seconds"], strict=True)
        line |= {
            "speed × theirs": ratio(theirs["step_seconds"], ours["step_seconds"]),
            "first step × theirs": " / ".join(f"{a / b:.2f}" for a, b in starts),
            "peak, start × theirs": f"{ours['peak_mb'] / theirs['peak_mb']:.2f}",
            "steps × theirs": f"{ours['step_peak_mb'] / theirs['step_peak_mb']:.2f}",
        }
    return line


if __name__ == "__main__":
    define_flags()
    flags.DEFINE_list("presets", list(BATCHES), "Presets.")
    flags.DEFINE_integer("turns", 5, "Turns of each side.", lower_bound=1)
    flags.DEFINE_float("seconds", 5.0, "Length of a turn, or a step if longer.")
    flags.DEFINE_integer("starts", 2, "Starts to time, 1 or 2.", 1, 2)
    flags.DEFINE_enum("jit_compile", "auto", list(AUTO), "As of lada_tf.train; ours.")
    flags.DEFINE_enum(
        "precision",
        "float32",
        ["float32", "bfloat16"],
        "As of lada_tf.train; ours, and of the matrix product.",
    )
    flags.DEFINE_string("output", None, "JSON file to write.")
    app.run(main)
