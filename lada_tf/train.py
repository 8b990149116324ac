"""Trains a LadaGAN.

    python -m lada_tf.train --preset=tiny --run_dir=runs/demo
    python -m lada_tf.train --preset=cifar10 --data=my_images/ --run_dir=runs/mine

Started again on the same run folder, it goes on from the last checkpoint.
"""

from absl import flags

from lada_tf import app
from lada_tf.data import open_source
from lada_tf.errors import UserError
from lada_tf.training import configuration, trainer
from lada_tf.training.distribution import CLUSTERS, STRATEGIES, make_strategy
from lada_tf.training.dry_run import dry_run
from lada_tf.training.execution import share_cores
from lada_tf.training.options import AUTO, TrainingOptions

flags.DEFINE_string("run_dir", None, "Folder of the run.", required=True)
flags.DEFINE_integer("seed", 0, "Seed of weights, latents, data order.", lower_bound=0)
flags.DEFINE_enum(
    "on_bad_image", "error", ["error", "skip"], "What to do about damaged images."
)
flags.DEFINE_integer(
    "memory_limit_mb",
    4096,
    "Memory for decoded images; beyond it, disk.",
    lower_bound=0,
)
flags.DEFINE_string("cache_dir", None, "Where they go on disk; ~/.cache/lada_tf.")
flags.DEFINE_boolean("download", False, "Let TFDS download what is not there.")
flags.DEFINE_boolean("flip", False, "Mirror half of the real images.")
flags.DEFINE_integer("log_images", 10_000, "Images between log lines.", lower_bound=1)
flags.DEFINE_integer("sample_images", 100_000, "Images between grids.", lower_bound=1)
flags.DEFINE_integer(
    "checkpoint_images", 100_000, "Images between checkpoints.", lower_bound=1
)
flags.DEFINE_integer("keep_checkpoints", 2, "Checkpoints to keep.", lower_bound=1)
flags.DEFINE_integer(
    "fd_images",
    0,
    "Images between Fréchet distances over a small classifier's features (not FID); "
    "keeps the best checkpoint by it. 0 for none.",
    lower_bound=0,
)
flags.DEFINE_integer(
    "fd_samples", 1_000, "Images to measure that distance on.", lower_bound=2
)
flags.DEFINE_enum(
    "jit_compile",
    "auto",
    list(AUTO),
    "Compile the step with XLA; auto runs a graph, and says why.",
)
flags.DEFINE_enum(
    "overlap",
    "auto",
    list(AUTO),
    "Compute independent parts of a step at once, in more memory; auto does for small "
    "networks on a processor.",
)
flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "bfloat16", "float16"],
    "What the networks compute in.",
)
flags.DEFINE_integer(
    "gradient_accumulation_steps",
    1,
    "Micro-batches of a batch, to save memory.",
    lower_bound=1,
)
flags.DEFINE_boolean(
    "gradient_checkpointing",
    False,
    "Compute activations again where gradients need them, to save memory.",
)
flags.DEFINE_enum(
    "strategy",
    "none",
    STRATEGIES,
    "Devices: one; all GPUs of the machine; those of several workers; a TPU.",
)
flags.DEFINE_enum(
    "cluster", "tf_config", CLUSTERS, "How --strategy=multi_worker finds the others."
)
flags.DEFINE_integer(
    "virtual_cpus",
    1,
    "Devices to take the processor for, to try --strategy=mirrored without GPUs.",
    lower_bound=1,
)
flags.DEFINE_boolean(
    "sync_batch_norm", True, "Normalize by the whole batch, over all replicas."
)
flags.DEFINE_enum(
    "on_nonfinite",
    "stop",
    ["stop", "rollback"],
    "At a loss or gradient that is not finite: stop, or go back to the last checkpoint "
    "and on with another seed.",
)
flags.DEFINE_integer("max_rollbacks", 3, "Rollbacks in a run.", lower_bound=0)
flags.DEFINE_boolean(
    "dry_run", False, "Print the plan, build the models, run one step, write nothing."
)
configuration.define_preset_flags()
flags.adopt_module_key_flags(configuration)  # or --help would leave them out
FLAGS = flags.FLAGS


def main() -> None:
    strategy = make_strategy(  # before all else
        FLAGS.strategy, FLAGS.cluster, FLAGS.virtual_cpus
    )
    preset = configuration.preset_from_flags(FLAGS)
    options = TrainingOptions(
        seed=FLAGS.seed,
        flip=FLAGS.flip,
        log_images=FLAGS.log_images,
        sample_images=FLAGS.sample_images,
        checkpoint_images=FLAGS.checkpoint_images,
        keep_checkpoints=FLAGS.keep_checkpoints,
        fd_images=FLAGS.fd_images,
        fd_samples=FLAGS.fd_samples,
        precision=FLAGS.precision,
        gradient_accumulation_steps=FLAGS.gradient_accumulation_steps,
        gradient_checkpointing=FLAGS.gradient_checkpointing,
        sync_batch_norm=FLAGS.sync_batch_norm,
        on_nonfinite=FLAGS.on_nonfinite,
        max_rollbacks=FLAGS.max_rollbacks,
        jit_compile=AUTO[FLAGS.jit_compile],
        overlap=AUTO[FLAGS.overlap],
    )
    share_cores(preset, options, strategy)
    if not preset.data:
        raise UserError("this configuration comes without data: give --data=FOLDER")
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
        dry_run(preset, source, FLAGS.run_dir, options, strategy)
    else:
        trainer.train(preset, source, FLAGS.run_dir, options, strategy)
        print(f"samples: {FLAGS.run_dir}/samples")


if __name__ == "__main__":
    app.run(main)
