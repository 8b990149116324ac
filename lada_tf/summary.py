"""Parameters, FLOPs, memory and steps of the presets, beside the paper's figures.

python -m lada_tf.summary                    # every preset
python -m lada_tf.summary --preset=ffhq128   # one of them
"""

from absl import flags

from lada_tf import app
from lada_tf.models import PRESETS, LadaGAN
from lada_tf.models.cost import PAPER_COSTS, count_flops, training_bytes

flags.DEFINE_enum("preset", None, list(PRESETS), "Preset; by default all of them.")
FLAGS = flags.FLAGS

NOTE = """\
FLOPs: of one image at inference, 2 x multiply-adds. The paper's "FLOPs" are
multiply-adds, cut to one decimal: "paper" stands beside multiply-adds.
Memory: weights, gradients, Adam and the averaged generator in float32, without
activations."""


def main() -> None:
    for name in [FLAGS.preset] if FLAGS.preset else PRESETS:
        print(describe(name), end="\n\n", flush=True)
    print(NOTE)


def describe(name: str) -> str:
    """A paragraph on one preset."""
    preset = PRESETS[name]
    gan = LadaGAN.from_preset(preset)
    lines = [
        f"{name}: {preset.image_size}x{preset.image_size}, {preset.data or 'data'}"
    ]
    paper = PAPER_COSTS.get(name)
    for label, network, quoted in (
        (
            "generator",
            gan.generator,
            paper and f"{paper.g_parameters}, {paper.g_flops}",
        ),
        ("discriminator", gan.discriminator, paper and paper.d_flops),
    ):
        flops = count_flops(network)
        lines.append(
            f"  {label:<14}{network.count_params() / 1e6:>8.3f}M parameters"
            f"{flops / 1e9:>8.3f} GFLOP{flops / 2e9:>8.3f} GMAC"
            + (f"   (paper: {quoted})" if quoted else "")
        )
    steps = -(-preset.total_images // preset.batch_size)
    lines.append(
        f"  training      {preset.total_images:,} images, {steps:,} steps of "
        f"{preset.batch_size}, {training_bytes(gan) / 2**20:,.0f} MiB"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    app.run(main)
