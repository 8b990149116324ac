"""Turns a checkpoint of the authors' TensorFlow code into a run folder.

python -m lada_tf.import_official --checkpoint=cifar10/best-training-checkpoints \\
    --config=cifar10/config.json --run_dir=runs/official_cifar10

The run folder samples, evaluates and exports as one of our own, and training goes on
from it with `lada_tf.train --flagfile=RUN_DIR/flags.cfg --run_dir=RUN_DIR`.
"""

from absl import flags

from lada_tf import app
from lada_tf.training.official_checkpoint import import_official_checkpoint

flags.DEFINE_string(
    "checkpoint", None, "Folder of a checkpoint, or its prefix.", required=True
)
flags.DEFINE_string("config", None, "The run's config.json.", required=True)
flags.DEFINE_string("run_dir", None, "Run folder to make.", required=True)
flags.DEFINE_string("data", "", "Dataset to go on with, see lada_tf.train.")
FLAGS = flags.FLAGS


def main() -> None:
    gan = import_official_checkpoint(
        FLAGS.checkpoint, FLAGS.config, FLAGS.run_dir, FLAGS.data
    )
    print(f"{FLAGS.run_dir}: {gan.images_seen:,} images seen")


if __name__ == "__main__":
    app.run(main)
