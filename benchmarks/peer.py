"""Measure training and sampling against lightweight-gan, a FastGAN in PyTorch.

    python -m benchmarks.peer --lightweight_python=peer-venv/bin/python \\
        --output=docs/data/lightweight_gan.json

`--lightweight_python` is the interpreter of its environment. `benchmarks.lightweight`
lists what to install. Without this flag, we measure ours only. Each side is a process.
The sides take turns on images in memory, and we compare medians over the turns. The
networks and the training steps differ, and the figures say nothing about the quality of
the images.

Our side is the preset of the same image size. Each step trains both networks with R1
and updates the EMA generator. `ffhq128` also has bCR; `bedroom128` has the same
networks without bCR. The other side is the `Trainer` of lightweight-gan, with the
options of its command and one batch of our size per step. It has the hinge loss,
reconstruction of the real images, a gradient penalty every fourth step, and an EMA
update every tenth.
"""

from lada_tf import app  # first: it imports TensorFlow without its log lines

# isort: split
import statistics

from absl import flags

from benchmarks import sampling, train_step
from benchmarks.report import machine, print_markdown, ratio, write_json
from benchmarks.sides import Side, define_flags, our_side
from lada_tf.models.presets import get_preset

SIDES = {"ours": "ours", "lightweight": "lightweight-gan"}
ROUNDS = {"ours": 1, "lightweight": 4}  # steps per gradient penalty


def main() -> None:
    results = {preset: measure(preset) for preset in flags.FLAGS.presets}
    print_markdown([row for name in results for row in cells(name, results[name])])
    write_json(flags.FLAGS.output, {"machine": machine(), "presets": results})


def measure(preset: str) -> dict:
    """Return seconds per step or call and peak memory, per task, batch and side."""
    batch = train_step.BATCHES[preset]
    return {
        "train": {str(batch): train_step.measure(sides("train", preset), ROUNDS)},
        "sample": sampling.measure(sides("sample", preset)),
    }


def sides(task: str, preset: str) -> dict[str, Side]:
    batch_size = train_step.BATCHES[preset]
    result = {"ours": our_side(task, preset, batch_size)}
    if python := flags.FLAGS.lightweight_python:
        settings = {
            "task": task,
            "batch_size": batch_size,
            "image_size": get_preset(preset).image_size,
        }
        result["lightweight"] = Side(python, "benchmarks.lightweight", settings)
    return result


def cells(preset: str, results: dict) -> list[dict[str, str]]:
    """Return a preset's lines of the table."""
    lines = []
    for task, name in {"train": "training", "sample": "sampling"}.items():
        for batch, measured in results[task].items():
            line = {"what": f"{name}, `{preset}`, batch {batch}"}
            for side, figures in measured.items():
                rate = int(batch) / statistics.median(figures["seconds"])
                line[f"{SIDES[side]}, images/s"] = f"{rate:.3g}"
            if theirs := measured.get("lightweight"):
                line["images/s ×"] = ratio(
                    theirs["seconds"], measured["ours"]["seconds"]
                )
            for side, figures in measured.items():
                line[f"{SIDES[side]}, peak MB"] = f"{figures['peak_mb']:,.0f}"
            lines.append(line)
    return lines


if __name__ == "__main__":
    define_flags(["celeba64", "ffhq128"], turns=3, seconds=5.0)
    flags.DEFINE_string(
        "lightweight_python", None, "Interpreter of lightweight-gan's environment."
    )
    app.run(main)
