"""Train a LadaGAN.

    python -m lada_tf.train --preset=tiny --run_dir=runs/demo
    python -m lada_tf.train --preset=cifar10 --data=my_images/ --run_dir=runs/mine

Run the same command again to resume from the last checkpoint.
"""

from absl import flags

from lada_tf import app
from lada_tf.data import open_source
from lada_tf.errors import UserError
from lada_tf.training import configuration, trainer
from lada_tf.training.distribution import CLUSTERS, STRATEGIES, make_strategy

app.DEFINE_path("run_dir", None, "Run directory.", required=True)
flags.DEFINE_enum(
    "on_bad_image", "error", ["error", "skip"], "Reaction to damaged images."
)
flags.DEFINE_integer(
    "memory_limit_mb", 4096, "MiB of images in memory; others are cached on disk.", 0
)
app.DEFINE_path("cache_dir", None, "Cache directory; default: ~/.cache/lada_tf.")
flags.DEFINE_boolean("download", False, "Let TFDS download a missing dataset.")
flags.DEFINE_enum(
    "strategy",
    "none",
    STRATEGIES,
    "Devices: one (none), all GPUs of this machine (mirrored), the GPUs of several "
    "workers, or a TPU.",
)
flags.DEFINE_enum(
    "cluster", "tf_config", CLUSTERS, "How workers of multi_worker find each other."
)
flags.DEFINE_integer(
    "virtual_cpus", 1, "Split the CPU into N devices, to try mirrored without GPUs.", 1
)
flags.DEFINE_boolean(
    "dry_run", False, "Print the plan and run one step. Write no files."
)
configuration.define_option_flags()
configuration.define_preset_flags()
flags.adopt_module_key_flags(configuration)  # so that --help lists these flags too
FLAGS = flags.FLAGS
SOURCE_FLAGS = ("on_bad_image", "memory_limit_mb", "cache_dir", "download")


def main() -> None:
    # The strategy configures the devices, so it must come before everything else.
    strategy = make_strategy(FLAGS.strategy, FLAGS.cluster, FLAGS.virtual_cpus)
    preset = configuration.preset_from_flags(FLAGS)
    options = configuration.options_from_flags(FLAGS)
    if not preset.data:
        raise UserError("--data is missing: this preset has no dataset of its own")
    source = open_source(
        preset.data,
        preset.image_size,
        resize=preset.resize or None,
        subset=preset.subset,
        on_bad_image=FLAGS.on_bad_image,
        memory_limit=FLAGS.memory_limit_mb * 2**20,
        cache_dir=FLAGS.cache_dir,
        download=FLAGS.download,
    )
    if FLAGS.dry_run:
        trainer.dry_run(preset, source, FLAGS.run_dir, options, strategy)
    else:
        values = {name: FLAGS[name].value for name in SOURCE_FLAGS}
        given = {name: value for name, value in values.items() if value is not None}
        trainer.train(preset, source, FLAGS.run_dir, options, strategy, given)
        print(f"samples: {FLAGS.run_dir}/samples")


if __name__ == "__main__":
    app.run(main)
