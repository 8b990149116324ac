"""Training steps on one GPU: images a second by precision, with XLA and as a graph.

    python -m benchmarks.gpu --output=docs/data/gpu.json
    python -m benchmarks.gpu --official=LadaGAN/tensorflow \\
        --official_python=authors-venv/bin/python

Both flags as in `benchmarks.train_step`. Each way is a process of its own; they take
turns at batches of the preset's size that are in memory, and medians over the turns are
compared. A way that does not start, for want of memory or since XLA refuses it, is left
out. Start is the time from the start of a process to the end of its first step, XLA's
compilation included, which takes minutes: `--together` starts a preset's ways at once,
which takes less time in all and more for each. Memory is the most that TensorFlow had
on the card. The FLOPs are those that a step needs, and of the GEMM is their share of a
matrix product's speed (8192 × 8192) in the way's own precision. The paper's images/s
are those of its Table V, on an RTX 3080 Ti.
"""

import contextlib
import os
import statistics
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf
from absl import app, flags

from benchmarks.report import print_markdown, ratio, write_json
from benchmarks.sides import define_flags, in_ways
from benchmarks.worker import take_turns
from experiments.table5 import PAPER_THROUGHPUT
from lada_tf.models.presets import get_preset
from lada_tf.training.execution import describe_devices

WAYS = {
    "TF32": {"jit_compile": True},
    "bfloat16": {"jit_compile": True, "precision": "bfloat16"},
    "float32": {"jit_compile": True, "tensor_float_32": False},
    "TF32 graph": {"jit_compile": False},
    "bfloat16 graph": {"jit_compile": False, "precision": "bfloat16"},
    "TF32 graph overlapping": {"jit_compile": False, "overlap": True},
}


def main(argv: list[str]) -> None:
    del argv
    # The workers share the card; each would take all of its memory.
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    report: dict[str, dict | str] = {"machine": card(), "presets": {}}
    rows = []
    for preset in flags.FLAGS.presets:
        sides = measure(preset)
        report["presets"][preset] = sides
        write_json(flags.FLAGS.output, report)
        rows += [cells(preset, side, sides) for side in sides]
    print(report["machine"])
    if rows:
        print_markdown(rows)


def card() -> str:
    """The first GPU, in words."""
    if not tf.config.list_physical_devices("GPU"):
        raise app.UsageError("TensorFlow finds no GPU here")
    return describe_devices(tf.distribute.get_strategy())


def measure(preset: str) -> dict[str, dict]:
    """By side: start, the seconds of a step, and the most memory on the card."""
    batch = get_preset(preset).batch_size
    ways = {way: WAYS[way] for way in flags.FLAGS.ways}
    makers = in_ways("train", preset, batch, ways)
    with contextlib.ExitStack() as stack:
        workers = start(makers, stack)
        found = take_turns(
            workers,
            lambda worker, steps: worker.ask("train", steps=steps),
            dict.fromkeys(workers, 1),
            flags.FLAGS.turns,
            flags.FLAGS.seconds,
            warm_ups=3,
        )
        flops = None
        for side, worker in workers.items():
            found[side] |= {
                "batch_size": batch,
                "start_seconds": worker.start_seconds,
                "device_mb": worker.ask("device_peak_mb"),
            }
            if side in WAYS:
                flops = flops or worker.ask("flops")
                gemm = worker.ask("gemm", times=50, side=8192)
                found[side] |= {"flops": flops, "gemm": gemm}
    return found


def start(makers: dict, stack: contextlib.ExitStack) -> dict:
    """The workers that start, by side; the stack ends them."""

    def enter(side):
        try:
            return stack.enter_context(makers[side]())
        except SystemExit as failure:
            print(f"{side} is left out: {failure}", flush=True)
            return None

    with ThreadPoolExecutor(len(makers) if flags.FLAGS.together else 1) as starters:
        workers = dict(zip(makers, starters.map(enter, makers), strict=True))
    return {side: worker for side, worker in workers.items() if worker}


def cells(preset: str, side: str, sides: dict[str, dict]) -> dict[str, str]:
    """The table's line of one side."""
    row = sides[side]
    step = statistics.median(row["seconds"])
    theirs, paper = sides.get("official"), PAPER_THROUGHPUT.get(preset)
    return {
        "preset (batch)": f"{preset} ({row['batch_size']})",
        "way": side,
        "images/s": f"{row['batch_size'] / step:,.0f}",
        "the paper's": f"{paper:.0f}" if paper else "",
        "step, ms": f"{1000 * step:.1f}",
        "TFLOP/s": f"{row['flops'] / step / 1e12:.1f}" if "flops" in row else "",
        "of the GEMM": (
            f"{row['flops'] / step / 1e9 / row['gemm']:.2f}" if "gemm" in row else ""
        ),
        "first step, s": f"{row['start_seconds']:.0f}",
        "GPU MB": f"{row['device_mb']:,.0f}",
        "speed × theirs": ratio(theirs["seconds"], row["seconds"]) if theirs else "",
        "memory × theirs": (
            f"{row['device_mb'] / theirs['device_mb']:.2f}" if theirs else ""
        ),
    }


if __name__ == "__main__":
    define_flags()
    flags.DEFINE_list("presets", list(PAPER_THROUGHPUT), "Presets of the paper.")
    flags.DEFINE_list("ways", list(WAYS), "Ways to train.")
    flags.DEFINE_bool("together", False, "Start a preset's ways at once.")
    flags.DEFINE_integer("turns", 5, "Turns of each side.", lower_bound=1)
    flags.DEFINE_float("seconds", 2.0, "Length of a turn, or a step if longer.")
    flags.DEFINE_string("output", None, "JSON file to write, after each preset.")
    app.run(main)
