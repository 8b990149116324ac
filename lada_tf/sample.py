"""Generate images with a trained generator.

python -m lada_tf.sample --run_dir=runs/demo --num_images=64 --output=grid.png
python -m lada_tf.sample --run_dir=runs/demo --num_images=8 --attention_maps \\
    --output=maps.png
python -m lada_tf.sample --run_dir=runs/demo --num_images=10000 --output=images.npz

The ending of `--output` decides what is written: .png is one picture, .npz one array
`images` (uint8, NHWC), and a path without an ending a directory with one PNG file per
image.
"""

from absl import flags

from lada_tf import app, runtime
from lada_tf.errors import UserError
from lada_tf.io import check_output
from lada_tf.sampling import generate_images, write_samples
from lada_tf.sampling.generate import OUTPUTS
from lada_tf.training import load_generator

app.DEFINE_path(
    "run_dir", None, "Load the generator of this run directory.", required=True
)
flags.DEFINE_boolean("best", False, "Use the best checkpoint instead of the last one.")
app.DEFINE_safe_mode()
app.DEFINE_path("output", None, "Write this .png, .npz or directory.", required=True)
flags.DEFINE_boolean("overwrite", False, "Replace an existing output.")
flags.DEFINE_integer("num_images", 64, "Generate this many images.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Draw the latents from this seed.", 0, runtime.MAX_SEED)
flags.DEFINE_integer(
    "batch_size", 64, "Generate this many images at once.", lower_bound=1
)
flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "bfloat16"],
    "Compute in this precision. bfloat16 is faster on CPUs and GPUs that support it, "
    "and rounds to 8 bits.",
)
flags.DEFINE_boolean("attention_maps", False, "Draw attention maps too, in a .png.")
flags.DEFINE_integer(
    "interpolate",
    0,
    "Draw a row of N images from each latent to the next. 0 turns this off.",
    0,
)
flags.DEFINE_boolean("spherical", False, "Interpolate along arcs instead of lines.")
FLAGS = flags.FLAGS


def main() -> None:
    ending = check_output("output", FLAGS.output, OUTPUTS, FLAGS.overwrite)
    if FLAGS.attention_maps and ending != ".png":
        raise UserError(
            f"--attention_maps requires a .png file, but --output={FLAGS.output}"
        )
    if FLAGS.precision == "bfloat16":
        runtime.assume_frozen_weights()
    images, maps = generate_images(
        load_generator(FLAGS.run_dir, best=FLAGS.best, precision=FLAGS.precision),
        FLAGS.num_images,
        seed=FLAGS.seed,
        interpolation_steps=FLAGS.interpolate,
        spherical=FLAGS.spherical,
        batch_size=FLAGS.batch_size,
        attention_maps=FLAGS.attention_maps,
    )
    write_samples(
        FLAGS.output,
        images,
        maps,
        columns=FLAGS.interpolate or None,
        overwrite=FLAGS.overwrite,
    )
    print(f"{len(images)} images: {FLAGS.output}")


if __name__ == "__main__":
    app.run(main)
