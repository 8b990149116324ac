"""Write a run's sample grids, in order, as GIF or MP4.

python -m experiments.progress --run_dir=runs/portraits --output=progress.gif
"""

from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image

from experiments.frames import write_frames
from lada_tf import app
from lada_tf.errors import UserError

FLAGS = flags.FLAGS


def main() -> None:
    samples = Path(FLAGS.run_dir) / "samples"
    grids = sorted(samples.glob("grid-*.png"))
    if not grids:
        raise UserError(f"--run_dir={FLAGS.run_dir}: no pictures in {samples}")
    frames = np.stack([np.asarray(Image.open(grid).convert("RGB")) for grid in grids])
    write_frames(FLAGS.output, frames, FLAGS.fps)
    print(f"{len(frames)} grids: {FLAGS.output}")


if __name__ == "__main__":
    flags.DEFINE_string("run_dir", None, "Run directory.", required=True)
    flags.DEFINE_string("output", None, "progress.gif, .mp4 or .png.", required=True)
    flags.DEFINE_float("fps", 4, "Grids per second.", lower_bound=1)
    app.run(main)
