"""Measure training and sampling against lightweight-gan, a FastGAN in PyTorch.

    python -m benchmarks.peer --lightweight_python=peer-venv/bin/python

`--lightweight_python` is the interpreter of its environment; `benchmarks.lightweight`
lists what to install. By default, only ours is measured. Each side is a process. The
sides take turns on images in memory, and we compare medians over the turns. The
networks and the training steps differ, and the figures do not tell how good the images
are.

Ours is the preset of the image size. Each step trains both networks with R1 and updates
the EMA generator; `ffhq128` has bCR as well, `bedroom128` (the same networks) does not.
Images are generated as `lada_tf.sample` does. Theirs is its `Trainer` with the options
of its command and one batch of our size per step: hinge loss, a reconstruction of the
real images, a gradient penalty every fourth step, the EMA every tenth. It requires a
GPU; we make it run on the CPU too.
"""

import contextlib
import statistics
import sys

from absl import app, flags

from benchmarks.report import machine, print_markdown, ratio, write_json
from benchmarks.worker import Worker, take_turns
from lada_tf.models.presets import get_preset

BATCHES = {"celeba64": 8, "ffhq128": 4, "bedroom128": 4}
PRESETS = ["celeba64", "ffhq128"]
SIDES = {"ours": "ours", "lightweight": "lightweight-gan"}
ROUNDS = {"ours": 1, "lightweight": 4}  # steps per gradient penalty


def main(argv: list[str]) -> None:
    del argv
    results = {preset: measure(preset) for preset in flags.FLAGS.presets}
    print_markdown([row for name in results for row in speeds(name, results[name])])
    print_markdown([networks(name, results[name]) for name in results])
    write_json(flags.FLAGS.output, {"machine": machine(), "presets": results})


def measure(preset: str) -> dict:
    """Return seconds per step or call and peak memory, per task, batch and side."""
    length = {"turns": flags.FLAGS.turns, "seconds": flags.FLAGS.seconds}
    results: dict[str, dict] = {"train": {}, "sample": {}}
    with started("train", preset) as workers:

        def train(worker, steps):
            return worker.ask("train", steps=steps)

        sides = take_turns(workers, train, ROUNDS, **length)
        for side, worker in workers.items():
            sides[side]["start_seconds"] = worker.start_seconds
            sides[side]["start"] = worker.first
            sides[side]["networks"] = worker.ask("networks")
        results["train"][str(BATCHES[preset])] = sides
    with started("sample", preset) as workers:
        for batch in flags.FLAGS.batches:

            def sample(worker, calls, batch=batch):
                return worker.ask("sample", batch_size=int(batch), calls=calls)

            once = dict.fromkeys(workers, 1)
            results["sample"][batch] = take_turns(workers, sample, once, **length)
    return results


@contextlib.contextmanager
def started(task: str, preset: str):
    """Start the workers one after the other. Yield them by side."""
    settings = {"task": task, "batch_size": BATCHES[preset]}
    ours = {"preset": preset, "jit_compile": False, "saved_model": False}
    theirs = {"image_size": get_preset(preset).image_size}
    sides = {"ours": (sys.executable, "benchmarks.ours", settings | ours)}
    if python := flags.FLAGS.lightweight_python:
        sides["lightweight"] = (python, "benchmarks.lightweight", settings | theirs)
    with contextlib.ExitStack() as stack:
        yield {
            side: stack.enter_context(Worker(*arguments))
            for side, arguments in sides.items()
        }


def speeds(preset: str, results: dict) -> list[dict[str, str]]:
    """Return a preset's lines of the table of speed and memory."""
    lines = []
    for task, name in {"train": "training", "sample": "sampling"}.items():
        for batch, sides in results[task].items():
            line = {"what": f"{name}, `{preset}`, batch {batch}"}
            for side, figures in sides.items():
                rate = int(batch) / statistics.median(figures["seconds"])
                line[f"{SIDES[side]}, images/s"] = f"{rate:.3g}"
            if theirs := sides.get("lightweight"):
                speed = ratio(theirs["seconds"], sides["ours"]["seconds"])
                line["speed × theirs"] = speed
            for side, figures in sides.items():
                line[f"{SIDES[side]}, peak MB"] = f"{figures['peak_mb']:,.0f}"
            lines.append(line)
    return lines


def networks(preset: str, results: dict) -> dict[str, str]:
    """Return a preset's line of the table of parameters and multiply-adds per image."""
    (sides,) = results["train"].values()
    line = {"preset": f"`{preset}`"}
    for network in ("generator", "discriminator"):
        for side, figures in sides.items():
            size = figures["networks"][network]
            cell = f"{size['parameters'] / 1e6:.1f}M, {size['flops'] / 2e9:.2f}G"
            line[f"{network}, {SIDES[side]}"] = cell
    return line


if __name__ == "__main__":
    flags.DEFINE_string(
        "lightweight_python", None, "Interpreter of lightweight-gan's environment."
    )
    flags.DEFINE_list("presets", PRESETS, "Presets.")
    flags.DEFINE_list("batches", ["1", "64"], "Images per call, when sampling.")
    flags.DEFINE_integer("turns", 3, "Turns per side.", lower_bound=1)
    flags.DEFINE_float("seconds", 5.0, "Seconds per turn, or a round if longer.")
    flags.DEFINE_string("output", None, "JSON file to write.")
    app.run(main)
