"""Draw Figures 7 and 8: interpolations between samples, with one head's maps.

    python -m experiments.figure7 --run_dir=runs/portraits --output=figure7.png
    python -m experiments.figure7 --run_dir=runs/portraits --spherical \
        --frames=16 --output=figure8.gif

Each frame is an image above its maps of all stages. PNG shows the frames side by side,
GIF and MP4 one after the other, from each sample to the next and back to the first.
"""

import numpy as np
from absl import flags

from experiments.frames import write_frames
from lada_tf import app
from lada_tf.sampling import generate_images, to_uint8
from lada_tf.sampling.grids import heat_maps, magnify, one_head
from lada_tf.training import load_generator

FLAGS = flags.FLAGS
SIDE = 96  # approximate side of a picture in pixels


def main() -> None:
    images, maps = generate_images(
        load_generator(FLAGS.run_dir),
        FLAGS.num_images,
        seed=FLAGS.seed,
        interpolation_steps=FLAGS.frames,
        spherical=FLAGS.spherical,
        attention_maps=True,
    )
    frames = stacked(images, one_head(maps, FLAGS.head))
    write_frames(FLAGS.output, frames, FLAGS.fps)
    print(f"{len(frames)} frames: {FLAGS.output}")


def stacked(images, maps) -> np.ndarray:
    """Return each image above its maps, as uint8 frames (N, H, W, 3)."""
    pictures = magnify(np.asarray(to_uint8(images)), SIDE)
    side = pictures.shape[1]
    return np.concatenate(
        [pictures, *(heat_maps(stage[:, 0], side) for stage in maps)], axis=1
    )


if __name__ == "__main__":
    flags.DEFINE_string("run_dir", None, "Run directory.", required=True)
    flags.DEFINE_string("output", None, "A .png, .gif or .mp4.", required=True)
    flags.DEFINE_integer("head", 0, "Head.", lower_bound=0)
    flags.DEFINE_integer("seed", 0, "Seed of the latents.", lower_bound=0)
    flags.DEFINE_boolean("spherical", False, "Interpolate along arcs instead of lines.")
    flags.DEFINE_integer("num_images", 2, "Samples.", lower_bound=1)
    flags.DEFINE_integer("frames", 8, "Frames per sample.", lower_bound=1)
    flags.DEFINE_float("fps", 12, "Frames per second.", lower_bound=1)
    app.run(main)
