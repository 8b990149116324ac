"""Measure training steps on one GPU, by precision, with XLA and as a graph.

    python -m benchmarks.gpu --output=docs/data/gpu.json
    python -m benchmarks.gpu --official=LadaGAN/tensorflow \\
        --official_python=authors-venv/bin/python

See `benchmarks.train_step` for both flags. Each way is a process. The ways take turns
on batches of the preset's size in memory, and we compare medians over the turns. A way
that does not start, because memory or XLA does not suffice, is left out.

"first step" includes XLA's compilation, which takes minutes. `--together` starts the
ways of a preset at once: faster in total, slower for each. "GPU MB" is the most memory
that TensorFlow had on the GPU. "of the GEMM" compares the FLOP/s with a matmul (8192 ×
8192) in the same precision. The paper's images/s are from its Table V, on an RTX 3080
Ti.
"""

import contextlib
import os
import statistics
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf
from absl import app, flags

from benchmarks.report import PAPER_THROUGHPUT, print_markdown, ratio, write_json
from benchmarks.sides import Side, define_flags, sides_of_ways
from benchmarks.worker import Worker, take_turns
from lada_tf.models.presets import get_preset
from lada_tf.training.distribution import describe_devices

WAYS = {
    "TF32": {"jit_compile": True},
    "bfloat16": {"jit_compile": True, "precision": "bfloat16"},
    "float32": {"jit_compile": True, "tensor_float_32": False},
    "TF32 graph": {"jit_compile": False},
    "bfloat16 graph": {"jit_compile": False, "precision": "bfloat16"},
}


def main(argv: list[str]) -> None:
    del argv
    # The workers share the GPU. By default each would reserve all of its memory.
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    report: dict = {"machine": gpu_name(), "presets": {}}
    rows = []
    for preset in flags.FLAGS.presets:
        sides = measure(preset)
        report["presets"][preset] = sides
        write_json(flags.FLAGS.output, report)
        rows += [cells(preset, side, sides) for side in sides]
    print(report["machine"])
    if rows:
        print_markdown(rows)


def gpu_name() -> str:
    if not tf.config.list_physical_devices("GPU"):
        raise app.UsageError("TensorFlow finds no GPU here")
    return describe_devices(tf.distribute.get_strategy())


def measure(preset: str) -> dict[str, dict]:
    """Return per side the start-up time, seconds per step, and GPU memory."""
    batch = get_preset(preset).batch_size
    ways = {way: WAYS[way] for way in flags.FLAGS.ways}
    sides = sides_of_ways("train", preset, batch, ways)
    with contextlib.ExitStack() as stack:
        workers = start(sides, stack)
        results = take_turns(
            workers,
            lambda worker, steps: worker.ask("train", steps=steps),
            dict.fromkeys(workers, 1),
            flags.FLAGS.turns,
            flags.FLAGS.seconds,
            warm_ups=3,
        )
        flops = None
        for side, worker in workers.items():
            results[side] |= {
                "batch_size": batch,
                "start_seconds": worker.start_seconds,
                "device_mb": worker.ask("gpu_peak_mb"),
            }
            if side in WAYS:
                flops = flops or worker.ask("flops")
                gemm = worker.ask("gemm", times=50, side=8192)
                results[side] |= {"flops": flops, "gemm": gemm}
    return results


def start(sides: dict[str, Side], stack: contextlib.ExitStack) -> dict[str, Worker]:
    """Start the workers. Return those that could start; the stack ends them."""

    def enter(name):
        try:
            return stack.enter_context(sides[name].start())
        except SystemExit as failure:
            print(f"{name} is left out: {failure}", flush=True)
            return None

    with ThreadPoolExecutor(len(sides) if flags.FLAGS.together else 1) as pool:
        workers = dict(zip(sides, pool.map(enter, sides), strict=True))
    return {name: worker for name, worker in workers.items() if worker}


def cells(preset: str, side: str, sides: dict[str, dict]) -> dict[str, str]:
    """Return the table's line of one side."""
    row = sides[side]
    step = statistics.median(row["seconds"])
    official, paper = sides.get("official"), PAPER_THROUGHPUT.get(preset)
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
        "speed × theirs": ratio(official["seconds"], row["seconds"])
        if official
        else "",
        "memory × theirs": (
            f"{row['device_mb'] / official['device_mb']:.2f}" if official else ""
        ),
    }


if __name__ == "__main__":
    define_flags()
    flags.DEFINE_list("presets", list(PAPER_THROUGHPUT), "Presets.")
    flags.DEFINE_list("ways", list(WAYS), "Ways to train, see WAYS.")
    flags.DEFINE_bool("together", False, "Start the ways of a preset at once.")
    flags.DEFINE_integer("turns", 5, "Turns per side.", lower_bound=1)
    flags.DEFINE_float("seconds", 2.0, "Seconds per turn, or a step if longer.")
    flags.DEFINE_string("output", None, "JSON file to write, after each preset.")
    app.run(main)
