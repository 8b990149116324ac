"""Makes images with a trained generator.

python -m lada_tf.sample --run_dir=runs/demo --num_images=64 --output=grid.png
python -m lada_tf.sample --run_dir=runs/demo --num_images=8 --attention_maps \\
    --output=maps.png
python -m lada_tf.sample --run_dir=runs/demo --num_images=10000 --output=images.npz

`--output` ending in .png is one picture, in .npz one array `images` (uint8 NHWC); any
other is a folder, which gets one PNG an image.
"""

from pathlib import Path

from absl import flags

from lada_tf import app, runtime
from lada_tf.errors import UserError
from lada_tf.sampling.generate import generate, write_samples
from lada_tf.training import load_generator

flags.DEFINE_string("run_dir", None, "Folder of the run.", required=True)
flags.DEFINE_boolean("best", False, "Take the best checkpoint, not the last one.")
flags.DEFINE_string("output", None, "grid.png, images.npz or a folder.", required=True)
flags.DEFINE_integer("num_images", 64, "Images to make.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Seed of the latents.", lower_bound=0)
flags.DEFINE_integer("batch_size", 64, "Images at a time.", lower_bound=1)
flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "bfloat16"],
    "What the generator computes in. bfloat16 takes less time where the processor or "
    "GPU has it, and rounds weights and activations to 8 bits.",
)
flags.DEFINE_boolean(
    "attention_maps", False, "Show each image's attention maps beside it (.png only)."
)
flags.DEFINE_integer(
    "interpolate",
    0,
    "Steps between each image and the next, for --num_images key images in a row "
    "of the grid; 0 for none.",
    lower_bound=0,
)
flags.DEFINE_boolean("spherical", False, "Interpolate along arcs, not lines.")
FLAGS = flags.FLAGS


def main() -> None:
    output = Path(FLAGS.output)
    if FLAGS.attention_maps and output.suffix != ".png":
        raise UserError("--attention_maps makes a picture: give an --output=NAME.png")
    if FLAGS.precision == "bfloat16":
        runtime.assume_frozen_weights()
    images, maps = generate(
        load_generator(FLAGS.run_dir, best=FLAGS.best, precision=FLAGS.precision),
        FLAGS.num_images,
        seed=FLAGS.seed,
        interpolation_steps=FLAGS.interpolate,
        spherical=FLAGS.spherical,
        batch_size=FLAGS.batch_size,
        attention_maps=FLAGS.attention_maps,
    )
    write_samples(output, images, maps, columns=FLAGS.interpolate or None)
    print(f"{len(images)} images: {output}")


if __name__ == "__main__":
    app.run(main)
