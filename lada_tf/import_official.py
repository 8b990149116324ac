"""Convert a checkpoint of the authors' TensorFlow code to a run directory.

lada-tf import_official --checkpoint=official:cifar10 --run_dir=runs/c10
lada-tf import_official --checkpoint=cifar10/best-training-checkpoints \\
    --config=cifar10/config.json --run_dir=runs/c10

`official:` downloads the authors' weights from the Hugging Face Hub: cifar10,
celeba_64, ffhq_128 or bedroom_128. It needs `pip install 'lada_tf[hub]'`.

You can sample from, evaluate, and export this run directory like any other. To continue
training, run `lada-tf train --run_dir=RUN_DIR --data=DATA --total_images=N`.
"""

from absl import flags

from lada_tf import app
from lada_tf.training.official_checkpoint import import_official_checkpoint

app.DEFINE_path(
    "checkpoint",
    None,
    "Read this checkpoint of the authors' code: a directory, the path of a checkpoint "
    "without .index, or official:cifar10, official:celeba_64, official:ffhq_128, or "
    "official:bedroom_128, which are downloaded.",
    required=True,
)
app.DEFINE_path(
    "config",
    None,
    "Read the config.json of their run at this path. The default is the file next to "
    "the directory of the checkpoint.",
)
app.DEFINE_path("run_dir", None, "Create this run directory.", required=True)
app.DEFINE_path(
    "data",
    "",
    "Store this dataset in the run, to continue training: see `lada-tf train --help`.",
)
FLAGS = flags.FLAGS


def main() -> None:
    gan = import_official_checkpoint(
        FLAGS.checkpoint, FLAGS.config, FLAGS.run_dir, FLAGS.data
    )
    print(f"{FLAGS.run_dir}: {gan.images_seen:,} images seen")


if __name__ == "__main__":
    app.run(main)
