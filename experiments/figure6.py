"""Draw Figure 6: samples and one head's attention at 8×8, 16×16 and 32×32.

python -m experiments.figure6 --run_dir=runs/portraits --head=0 --output=figure6.png
"""

from pathlib import Path

from absl import flags

from lada_tf import app
from lada_tf.errors import UserError
from lada_tf.sampling import generate_images, write_samples
from lada_tf.sampling.grids import one_head
from lada_tf.training import load_generator

FLAGS = flags.FLAGS


def main() -> None:
    if Path(FLAGS.output).suffix != ".png":
        raise UserError(f"--output={FLAGS.output}: give a .png")
    images, maps = generate_images(
        load_generator(FLAGS.run_dir),
        FLAGS.num_images,
        seed=FLAGS.seed,
        attention_maps=True,
    )
    write_samples(FLAGS.output, images, one_head(maps, FLAGS.head), overwrite=True)
    print(f"{len(images)} images and maps: {FLAGS.output}")


if __name__ == "__main__":
    flags.DEFINE_string("run_dir", None, "Run directory.", required=True)
    flags.DEFINE_string("output", None, "Picture to write, .png.", required=True)
    flags.DEFINE_integer("head", 0, "Head.", lower_bound=0)
    flags.DEFINE_integer("num_images", 8, "Samples.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Seed of the latents.", lower_bound=0)
    app.run(main)
