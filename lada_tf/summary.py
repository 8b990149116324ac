"""Print parameters, FLOPs, memory and steps of the presets next to the paper's values.

lada-tf summary                    # all presets
lada-tf summary --preset=ffhq128   # one preset
lada-tf summary --output=summary.json
lada-tf summary --run_dir=runs/mine   # a run, its best distance, its parents
"""

from pathlib import Path

from absl import flags

from lada_tf import app
from lada_tf.errors import UserError
from lada_tf.io import check_output, write_json
from lada_tf.models import PRESETS
from lada_tf.models.cost import PAPER_COSTS, preset_costs
from lada_tf.training.lineage import describe_lineage

flags.DEFINE_enum(
    "preset", None, list(PRESETS), "Print this preset only. The default is all presets."
)
app.DEFINE_path("run_dir", None, "Print this run and its parents instead of presets.")
app.DEFINE_path("output", None, "Write the values to this .json file.")
flags.DEFINE_boolean("overwrite", False, "Replace an existing output.")
FLAGS = flags.FLAGS

NOTE = """\
FLOPs are per image at inference, 2 x multiply-adds. The paper's "FLOPs" are
multiply-adds, truncated to one decimal; compare them with GMAC.
Memory is weights, gradients, Adam's moments and the EMA generator in float32, without
activations."""


def main() -> None:
    if FLAGS.run_dir:
        if FLAGS.preset or FLAGS.output:
            raise UserError(
                "--run_dir cannot be combined with --preset or --output. Leave those "
                "out"
            )
        print(describe_lineage(FLAGS.run_dir))
        return
    if FLAGS.output:
        check_output("output", FLAGS.output, (".json",), FLAGS.overwrite)
    values = {}
    for name in [FLAGS.preset] if FLAGS.preset else PRESETS:
        values[name] = preset_costs(name)
        print(describe(name, values[name]), end="\n\n", flush=True)
    print(NOTE)
    if FLAGS.output:
        Path(FLAGS.output).parent.mkdir(parents=True, exist_ok=True)
        write_json(FLAGS.output, values)


def describe(name: str, values: dict[str, int]) -> str:
    """Format the values of a preset as a paragraph."""
    preset = PRESETS[name]
    size = preset.image_size
    lines = [f"{name}: {size}x{size}, {preset.data or 'data'}"]
    paper = PAPER_COSTS.get(name)
    for network, quoted in (
        ("generator", paper and f"{paper.g_parameters}, {paper.g_flops}"),
        ("discriminator", paper and paper.d_flops),
    ):
        flops = values[f"{network}_flops"]
        lines.append(
            f"  {network:<14}{values[f'{network}_parameters'] / 1e6:>8.3f}M parameters"
            f"{flops / 1e9:>8.3f} GFLOP{flops / 2e9:>8.3f} GMAC"
            + (f"   (paper: {quoted})" if quoted else "")
        )
    lines.append(
        f"  training      {values['total_images']:,} images, {values['steps']:,} "
        f"steps of {preset.batch_size}, {values['training_bytes'] / 2**20:,.0f} MiB"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    app.run(main)
