"""Training steps and sampling beside lightweight-gan, a FastGAN in PyTorch.

    python -m benchmarks.peer --lightweight_python=peer-venv/bin/python

`--lightweight_python` is the interpreter of an environment of its own; what to install
there says `benchmarks.lightweight`. Without it, ours alone. Each side is a process of
its own, the two take turns, and medians over the turns are compared; images are in
memory. The networks differ, and so does what a step does to them: how good the images
are is not in these figures.

Ours is the preset of the size: each step trains both networks with R1 and averages,
`ffhq128` with bCR as well, `bedroom128` (the same networks) without; images are made as
`lada_tf.sample` does. Theirs is its `Trainer` with the options of its command, and one
batch a step, as large as ours: hinge loss, a reconstruction of the real images, a
gradient penalty every fourth step, the average every tenth. It insists on a GPU;
without one it is made to run all the same.
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
ROUNDS = {"ours": 1, "lightweight": 4}  # steps, with one gradient penalty


def main(argv: list[str]) -> None:
    del argv
    found = {preset: measure(preset) for preset in flags.FLAGS.presets}
    print_markdown([line for name in found for line in speeds(name, found[name])])
    print_markdown([networks(name, found[name]) for name in found])
    write_json(flags.FLAGS.output, {"machine": machine(), "presets": found})


def measure(preset: str) -> dict:
    """By task, batch and side: seconds of a step or call, and peak memory."""
    length = {"turns": flags.FLAGS.turns, "seconds": flags.FLAGS.seconds}
    found: dict[str, dict] = {"train": {}, "sample": {}}
    with started("train", preset) as workers:

        def train(worker, steps):
            return worker.ask("train", steps=steps)

        sides = take_turns(workers, train, ROUNDS, **length)
        for side, worker in workers.items():
            sides[side]["start_seconds"] = worker.start_seconds
            sides[side]["start"] = worker.first
            sides[side]["networks"] = worker.ask("networks")
        found["train"][str(BATCHES[preset])] = sides
    with started("sample", preset) as workers:
        for batch in flags.FLAGS.batches:

            def sample(worker, calls, batch=batch):
                return worker.ask("sample", batch_size=int(batch), calls=calls)

            once = dict.fromkeys(workers, 1)
            found["sample"][batch] = take_turns(workers, sample, once, **length)
    return found


@contextlib.contextmanager
def started(task: str, preset: str):
    """Side → its worker; one starts after the other."""
    settings = {"task": task, "batch_size": BATCHES[preset]}
    jit_compile = "auto" if task == "train" else False  # as the commands do
    ours = {"preset": preset, "jit_compile": jit_compile, "saved_model": False}
    theirs = {"image_size": get_preset(preset).image_size}
    sides = {"ours": (sys.executable, "benchmarks.ours", settings | ours)}
    if python := flags.FLAGS.lightweight_python:
        sides["lightweight"] = (python, "benchmarks.lightweight", settings | theirs)
    with contextlib.ExitStack() as stack:
        yield {
            side: stack.enter_context(Worker(*arguments))
            for side, arguments in sides.items()
        }


def speeds(preset: str, found: dict) -> list[dict[str, str]]:
    """A preset's lines of the table of speed and memory."""
    lines = []
    for task, name in {"train": "training", "sample": "sampling"}.items():
        for batch, sides in found[task].items():
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


def networks(preset: str, found: dict) -> dict[str, str]:
    """A preset's line of the table of networks: parameters, multiply-adds an image."""
    (sides,) = found["train"].values()
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
    flags.DEFINE_list("batches", ["1", "64"], "Images a call, of sampling.")
    flags.DEFINE_integer("turns", 3, "Turns of each side.", lower_bound=1)
    flags.DEFINE_float("seconds", 5.0, "Length of a turn, or a round if longer.")
    flags.DEFINE_string("output", None, "JSON file to write.")
    app.run(main)
