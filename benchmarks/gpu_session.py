"""Compare ways to train on one GPU within a fixed time, one process at a time.

    python -m benchmarks.gpu_session --output=docs/data/gpu_session.json
    python -m benchmarks.gpu_session --output=docs/data/gpu_session.json \\
        --official=LadaGAN/tensorflow --official_python=authors-venv/bin/python
    python -m benchmarks.gpu_session --nogpu --presets=tiny --batch_size=4 \\
        --ways="TF32 graph"              # a trial on a CPU

The first preset runs in each way of `WAYS`, the others in the fastest of them. Each row
has its own time limit, so that a slow compilation cannot take the time of the others.
The report is written after each row. Rows that exceed their limit or fail have an
`error`; the last rows are left out when the time is over.

"first step" is the time from the start of the process, and includes XLA's compilation.
"untuned" is XLA without its search for the fastest kernels. "warm" starts the previous
way again, with the compiled programs in the cache that XLA keeps on disk.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator

from absl import app, flags

from benchmarks.gpu import gpu_name
from benchmarks.report import machine, print_markdown, write_json
from benchmarks.sides import Side, define_flags, sides_of_ways
from lada_tf.models.presets import get_preset

QUICK_TUNING = "--xla_gpu_autotune_level=0"
BFLOAT16 = {"precision": "bfloat16"}

# Way -> settings of `benchmarks.ours`, XLA_FLAGS, time limit in seconds.
WAYS: dict[str, tuple[dict, str, int]] = {
    "TF32 graph": ({}, "", 60),
    "bfloat16 graph": (BFLOAT16, "", 60),
    "TF32 XLA untuned": ({"jit_compile": True}, QUICK_TUNING, 120),
    "TF32 XLA untuned warm": ({"jit_compile": True}, QUICK_TUNING, 60),
    "bfloat16 XLA untuned": ({"jit_compile": True, **BFLOAT16}, QUICK_TUNING, 100),
    "TF32 XLA": ({"jit_compile": True}, "", 150),
    "bfloat16 XLA": ({"jit_compile": True, **BFLOAT16}, "", 120),
}
MIRRORED = "TF32 graph mirrored"
# The rows after those of WAYS.
LAST_WAYS = {"official": ({}, "", 120), MIRRORED: ({"strategy": "mirrored"}, "", 60)}
MIN_SECONDS = 15  # less time is not enough for a row


def main(argv: list[str]) -> None:
    del argv
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
            settings = {"jit_compile": False, **settings}
            side = sides_of_ways("train", preset, batch, {way: settings})[way]
            row = {"preset": preset, "way": way, "batch_size": batch}
            rows.append(row | measure(side, batch, environment, limit))
            write_json(flags.FLAGS.output, report)
            print(rows[-1], flush=True)
    if rows:
        print_markdown([cells(row) for row in rows])


def planned(rows: list[dict]) -> Iterator[tuple[str, str]]:
    """Yield presets and ways. The other presets take the fastest of the rows so far."""
    first, *others = flags.FLAGS.presets
    for way in flags.FLAGS.ways:
        yield first, way
    done = [row for row in rows if "error" not in row]
    if done:
        best = max(done, key=lambda row: row["images_per_second"])["way"]
        yield from ((preset, best) for preset in others)
    if flags.FLAGS.official:
        yield from ((preset, "official") for preset in flags.FLAGS.presets)
    yield first, MIRRORED


def measure(
    side: Side, batch_size: int, environment: dict[str, str], limit: float
) -> dict:
    """Return start-up time, seconds per step, and memory; or the reason why not."""
    begin = time.monotonic()
    try:
        with side.start(environment=environment, limit=limit) as worker:
            row = {"first_step_seconds": worker.start_seconds}
            once = [worker.ask("train", steps=1)["seconds"] for _ in range(3)][-1]
            steps = max(1, round(flags.FLAGS.turn_seconds / once))
            turns = [worker.ask("train", steps=steps) for _ in range(3)]
            step = statistics.median(turn["seconds"] for turn in turns) / steps
            row["images_per_second"] = batch_size / step
            if flags.FLAGS.gpu:
                row["gpu_mb"] = worker.ask("gpu_peak_mb")
    except (SystemExit, BrokenPipeError) as failure:
        late = time.monotonic() - begin >= limit
        row = {"error": f"over {limit:.0f} s" if late else str(failure)[-300:]}
    return row


def cells(row: dict) -> dict[str, str]:
    """Return the table's line of one row."""
    return {
        "preset": row["preset"],
        "way": row["way"],
        "images/s": f"{row['images_per_second']:,.0f}" if "error" not in row else "",
        "first step, s": (
            row["error"] if "error" in row else f"{row['first_step_seconds']:.0f}"
        ),
        "GPU MB": f"{row['gpu_mb']:,.0f}" if "gpu_mb" in row else "",
    }


if __name__ == "__main__":
    define_flags()
    flags.DEFINE_list("presets", ["cifar10", "ffhq128", "celeba64"], "Presets.")
    flags.DEFINE_list("ways", list(WAYS), "Ways of the first preset, see WAYS.")
    flags.DEFINE_integer("batch_size", None, "Batch size. Default: the preset's.")
    flags.DEFINE_float("seconds", 690.0, "Time for everything.")
    flags.DEFINE_float("turn_seconds", 2.0, "Seconds per turn, or a step if longer.")
    flags.DEFINE_bool("gpu", True, "Measure the GPU's memory.")
    flags.DEFINE_string("output", None, "JSON file to write, after each row.")
    app.run(main)
