"""Generate images with a trained generator.

lada-tf sample --model=portraits --num_images=64 --output=grid.png
lada-tf sample --model=runs/demo:best --seeds=0-99,205 --output=images/
lada-tf sample --model=models/c10.onnx --num_images=50000 --output=c10.npz
lada-tf sample --model=runs/demo --num_images=4 --interpolate=24 \\
    --output=loop.gif

The ending of --output selects the format:

    .png         one picture
    .gif, .mp4   a video with one frame per image
    .npz         an array `arr_0`, uint8 (N, H, W, 3), for evaluate and ADM's evaluator
    .zip, .tar   one PNG file per image; a .tar has the layout of WebDataset
    no ending    a directory with one PNG file per image

Image i of a seed is the same in every program of lada_tf.
"""

import numpy as np
from absl import flags

from lada_tf import app, runtime
from lada_tf.errors import UserError
from lada_tf.models.latents import MAX_SEED
from lada_tf.sampling import Samples, write_samples
from lada_tf.sampling.generate import parse_seeds
from lada_tf.sampling.outputs import check_samples_output
from lada_tf.sampling.video import write_progress
from lada_tf.serving.loading import load_generator
from lada_tf.training.load import find_run

app.DEFINE_source("Generate images with this model", "an exported model, ")
app.DEFINE_path(
    "output",
    None,
    "Write to this file or directory. Its ending selects the format, see above.",
    required=True,
)
flags.DEFINE_boolean("overwrite", False, "Replace an existing output.")
flags.DEFINE_integer("num_images", 64, "Generate this many images from --seed.", 1)
flags.DEFINE_integer("seed", 0, "Draw the latents from this seed.", 0, MAX_SEED)
flags.DEFINE_string(
    "seeds", None, "Generate the first image of each of these seeds, such as 0-99,205."
)
flags.DEFINE_float(
    "truncation",
    1.0,
    "Multiply the latents by this number, above 0 and at most 1. Below 1, images are "
    "more typical and less diverse.",
    0,
    1,
)
flags.DEFINE_integer("batch_size", 64, "Generate this many images at once.", 1)
flags.DEFINE_enum(
    "precision",
    None,
    ["float32", "bfloat16"],
    "Compute in this precision. The default is float32. bfloat16 rounds to 8 bits and "
    "is faster on CPUs and GPUs that support it. An exported model has its own "
    "precision.",
)
flags.DEFINE_boolean(
    "attention_maps", False, "Draw attention maps too, in a .png, .gif or .mp4."
)
flags.DEFINE_integer(
    "head",
    None,
    "Draw the attention maps of this head. The default is all heads in a .png, and "
    "head 0 in a video.",
    0,
)
flags.DEFINE_integer(
    "interpolate",
    0,
    "Generate a path of this many images from each latent to the next, and from the "
    "last to the first. 0 turns this off.",
    0,
)
flags.DEFINE_boolean("spherical", False, "Interpolate along arcs instead of lines.")
flags.DEFINE_float("fps", 12, "Show this many video frames per second.", 1, 60)
flags.DEFINE_boolean(
    "progress",
    False,
    "Write a .gif or .mp4 of the sample grids that training saved in the run.",
)
FLAGS = flags.FLAGS

TOPICS = {
    "Common flags": "model output num_images seed seeds truncation overwrite",
    "Pictures and videos": "attention_maps head interpolate spherical fps progress",
    "Model and batches": "best precision batch_size run_dir safe_mode",
}


def main() -> None:
    source = app.get_source()
    if FLAGS.progress:
        run = find_run(source)
        if not run:
            raise UserError(
                f"--progress: {source} is not a run directory. Set --model to one"
            )
        count = write_progress(run.path, FLAGS.output, FLAGS.fps, FLAGS.overwrite)
        print(f"{count} grids: {FLAGS.output}")
        return
    samples = _samples()
    # Fail before the slow load.
    check_samples_output(FLAGS.output, samples, FLAGS.attention_maps, FLAGS.overwrite)
    if FLAGS.precision == "bfloat16":
        runtime.assume_frozen_weights()
    write_samples(
        load_generator(source, FLAGS.precision),
        samples,
        FLAGS.output,
        batch_size=FLAGS.batch_size,
        attention_maps=FLAGS.attention_maps,
        head=FLAGS.head,
        fps=FLAGS.fps,
        overwrite=FLAGS.overwrite,
    )
    print(f"{len(samples)} images: {FLAGS.output}")


def _samples() -> Samples:
    options = {
        "truncation": FLAGS.truncation,
        "steps": FLAGS.interpolate,
        "spherical": FLAGS.spherical,
    }
    if FLAGS.seeds is None:
        return Samples.of_seed(FLAGS.seed, FLAGS.num_images, **options)
    if FLAGS["seed"].present or FLAGS["num_images"].present:
        raise UserError(
            "--seeds cannot be combined with --seed or --num_images. Leave those out"
        )
    seeds = parse_seeds(FLAGS.seeds)
    return Samples(seeds, np.zeros_like(seeds), **options)


if __name__ == "__main__":
    app.run(main, TOPICS)
