"""Parameters, FLOPs, memory and steps of the presets, beside the paper's figures.

python -m lada_tf.summary                    # every preset
python -m lada_tf.summary --preset=ffhq128   # one of them
python -m lada_tf.summary --output=summary.json
"""

import json
from pathlib import Path

from absl import flags

from lada_tf import app
from lada_tf.errors import UserError
from lada_tf.models import PRESETS, LadaGAN
from lada_tf.models.cost import PAPER_COSTS, count_flops, training_bytes

flags.DEFINE_enum("preset", None, list(PRESETS), "Preset; by default all of them.")
flags.DEFINE_string("output", None, "JSON file to write the figures into as well.")
FLAGS = flags.FLAGS

NOTE = """\
FLOPs: of one image at inference, 2 x multiply-adds. The paper's "FLOPs" are
multiply-adds, cut to one decimal: "paper" stands beside multiply-adds.
Memory: weights, gradients, Adam and the averaged generator in float32, without
activations."""


def main() -> None:
    figures = {}
    for name in [FLAGS.preset] if FLAGS.preset else PRESETS:
        figures[name] = count(name)
        print(describe(name, figures[name]), end="\n\n", flush=True)
    print(NOTE)
    if FLAGS.output:
        try:
            Path(FLAGS.output).write_text(json.dumps(figures, indent=1) + "\n")
        except OSError as error:
            raise UserError(f"--output={FLAGS.output}: {error.strerror}") from error


def count(name: str) -> dict[str, int]:
    """A preset's figures: parameters, FLOPs of an image, steps, bytes."""
    preset = PRESETS[name]
    gan = LadaGAN.from_preset(preset)
    return {
        "generator_parameters": gan.generator.count_params(),
        "generator_flops": count_flops(gan.generator),
        "discriminator_parameters": gan.discriminator.count_params(),
        "discriminator_flops": count_flops(gan.discriminator),
        "total_images": preset.total_images,
        "steps": -(-preset.total_images // preset.batch_size),
        "training_bytes": training_bytes(gan),
    }


def describe(name: str, figures: dict[str, int]) -> str:
    """A paragraph on one preset."""
    preset = PRESETS[name]
    lines = [
        f"{name}: {preset.image_size}x{preset.image_size}, {preset.data or 'data'}"
    ]
    paper = PAPER_COSTS.get(name)
    for network, quoted in (
        ("generator", paper and f"{paper.g_parameters}, {paper.g_flops}"),
        ("discriminator", paper and paper.d_flops),
    ):
        flops = figures[f"{network}_flops"]
        lines.append(
            f"  {network:<14}{figures[f'{network}_parameters'] / 1e6:>8.3f}M parameters"
            f"{flops / 1e9:>8.3f} GFLOP{flops / 2e9:>8.3f} GMAC"
            + (f"   (paper: {quoted})" if quoted else "")
        )
    lines.append(
        f"  training      {figures['total_images']:,} images, {figures['steps']:,} "
        f"steps of {preset.batch_size}, {figures['training_bytes'] / 2**20:,.0f} MiB"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    app.run(main)
