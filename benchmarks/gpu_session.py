"""Compare ways to train on one GPU within a fixed time, one process at a time.

    python -m benchmarks.gpu_session --output=docs/data/gpu.json
    python -m benchmarks.gpu_session --official=LadaGAN/tensorflow \\
        --official_python=authors-venv/bin/python --output=docs/data/gpu.json
    python -m benchmarks.gpu_session --nogpu --presets=tiny --batch_size=4 \\
        --ways="TF32 graph"              # a trial on a CPU

The first preset runs in each way of `WAYS`, the others in the fastest of these ways.
With `--official`, the authors' code follows. The last row trains the first preset with
`--strategy=mirrored`. Each row has its own time limit, so a slow compilation cannot use
the time of the other rows. The report is written after each row. A row that fails or
exceeds its limit has an `error`. The last rows are left out if no time is left.

"untuned" is XLA without its search for the fastest kernels. "warm" starts the previous
way again, with the compiled programs in the cache that XLA keeps on disk. "first step"
is the time from the start of the process, and includes XLA's compilation. "GPU MB" is
the peak of TensorFlow's memory on the GPU. "the paper's" images/s are from its Table V,
on an RTX 3080 Ti. `benchmarks.train_step` explains the flags of the authors' code.
"""

from lada_tf import app  # first: it imports TensorFlow without its log lines

# isort: split
import os
import statistics
import tempfile
import time
from collections.abc import Iterator

import tensorflow as tf
from absl import flags

from benchmarks.report import (
    PAPER_THROUGHPUT,
    machine,
    print_markdown,
    ratio,
    write_json,
)
from benchmarks.sides import Side, define_official_flags, official_sides, our_side
from benchmarks.worker import take_turns
from lada_tf.errors import UserError
from lada_tf.models.presets import get_preset
from lada_tf.training.distribution import describe_devices

QUICK_TUNING = "--xla_gpu_autotune_level=0"
BFLOAT16 = {"precision": "bfloat16"}

# Way: settings of `benchmarks.ours`, XLA_FLAGS, time limit in seconds.
WAYS: dict[str, tuple[dict, str, int]] = {
    "TF32 graph": ({}, "", 60),
    "bfloat16 graph": (BFLOAT16, "", 60),
    "TF32 XLA untuned": ({"jit_compile": True}, QUICK_TUNING, 120),
    "TF32 XLA untuned warm": ({"jit_compile": True}, QUICK_TUNING, 60),
    "bfloat16 XLA untuned": ({"jit_compile": True, **BFLOAT16}, QUICK_TUNING, 100),
    "TF32 XLA": ({"jit_compile": True}, "", 150),
    "bfloat16 XLA": ({"jit_compile": True, **BFLOAT16}, "", 120),
}
OFFICIAL = "official"
MIRRORED = "TF32 graph mirrored"
# The rows after those of WAYS.
LAST_WAYS = {OFFICIAL: ({}, "", 120), MIRRORED: ({"strategy": "mirrored"}, "", 60)}
MIN_SECONDS = 15  # less time is not enough for a row
TURNS = 3


def main() -> None:
    end = time.monotonic() + flags.FLAGS.seconds
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    rows: list[dict] = []
    report = {"machine": gpu_name() if flags.FLAGS.gpu else machine(), "rows": rows}
    with tempfile.TemporaryDirectory() as cache:
        for preset, way in planned(rows):
            settings, xla_flags, limit = (WAYS | LAST_WAYS)[way]
            environment = {"XLA_FLAGS": xla_flags}
            if xla_flags:
                option = f"--tf_xla_persistent_cache_directory={cache}"
                environment["TF_XLA_FLAGS"] = option
            limit = min(limit, end - time.monotonic())
            if limit < MIN_SECONDS:
                print(f"{preset}, {way}: no time left", flush=True)
                continue
            batch = flags.FLAGS.batch_size or get_preset(preset).batch_size
            if way == OFFICIAL:
                side = official_sides("train", preset, batch)[OFFICIAL]
            else:
                side = our_side("train", preset, batch, **settings)
            row = {"preset": preset, "way": way, "batch_size": batch}
            rows.append(row | measure(side, environment, limit))
            write_json(flags.FLAGS.output, report)
            print(rows[-1], flush=True)
    if rows:
        print_markdown([cells(row, rows) for row in rows])


def gpu_name() -> str:
    if not tf.config.list_physical_devices("GPU"):
        raise UserError("TensorFlow finds no GPU. For a trial on a CPU, use --nogpu")
    return describe_devices(tf.distribute.get_strategy())


def planned(rows: list[dict]) -> Iterator[tuple[str, str]]:
    """Yield presets and ways. The other presets run in the fastest way of `rows`."""
    first, *others = flags.FLAGS.presets
    for way in flags.FLAGS.ways:
        yield first, way
    done = [row for row in rows if "error" not in row]
    if done:
        best = min(done, key=lambda row: statistics.median(row["seconds"]))["way"]
        yield from ((preset, best) for preset in others)
    if flags.FLAGS.official:
        yield from ((preset, OFFICIAL) for preset in flags.FLAGS.presets)
    yield first, MIRRORED


def measure(side: Side, environment: dict[str, str], limit: float) -> dict:
    """Return the start, seconds per step of each turn, and memory; or the error."""
    begin = time.monotonic()
    try:
        with side.start(environment=environment, limit=limit) as worker:
            row = {"start_seconds": worker.start_seconds}
            row |= take_turns(
                {"only": worker},
                lambda worker, steps: worker.ask("train", steps=steps),
                TURNS,
                flags.FLAGS.turn_seconds,
            )["only"]
            if flags.FLAGS.gpu:
                row["device_mb"] = worker.ask("gpu_peak_mb")
    except (SystemExit, BrokenPipeError) as failure:
        late = time.monotonic() - begin >= limit
        row = {"error": f"over {limit:.0f} s" if late else str(failure)[-300:]}
    return row


def cells(row: dict, rows: list[dict]) -> dict[str, str]:
    """Return the table's line of one of the rows."""
    paper = PAPER_THROUGHPUT.get(row["preset"])
    line = {
        "preset (batch)": f"{row['preset']} ({row['batch_size']})",
        "way": row["way"],
        "images/s": "",
        "the paper's": f"{paper:.0f}" if paper else "",
        "first step, s": row.get("error", ""),
        "GPU MB": "",
        "images/s ×": "",
        "GPU memory ×": "",
    }
    if "error" in row:
        return line
    line["images/s"] = f"{row['batch_size'] / statistics.median(row['seconds']):,.0f}"
    line["first step, s"] = f"{row['start_seconds']:.0f}"
    if "device_mb" in row:
        line["GPU MB"] = f"{row['device_mb']:,.0f}"
    for other in rows:
        is_theirs = (other["preset"], other["way"]) == (row["preset"], OFFICIAL)
        if is_theirs and "error" not in other:
            line["images/s ×"] = ratio(other["seconds"], row["seconds"])
            if "device_mb" in row:
                memory = row["device_mb"] / other["device_mb"]
                line["GPU memory ×"] = f"{memory:.2f}"
    return line


if __name__ == "__main__":
    define_official_flags()
    flags.DEFINE_list(
        "presets", ["cifar10", "ffhq128", "celeba64"], "Train these presets."
    )
    flags.DEFINE_list("ways", list(WAYS), "Train the first preset in these ways.")
    flags.DEFINE_integer("batch_size", None, "Batch size. Default: the preset's.")
    flags.DEFINE_float("seconds", 690.0, "Time for everything.")
    flags.DEFINE_float("turn_seconds", 2.0, "Minimum length of a turn.")
    flags.DEFINE_bool("gpu", True, "Require a GPU and measure its memory.")
    flags.DEFINE_string("output", None, "JSON file to write, after each row.")
    app.run(main)
