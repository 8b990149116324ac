"""Train a LadaGAN.

    lada-tf train --preset=tiny --run_dir=runs/demo
    lada-tf train --preset=cifar10 --data=my_images/ --run_dir=runs/mine

A new run needs --run_dir, and --preset or --init_from. These two set all flags without
a default below. To resume from the last checkpoint, run the same command again, or set
--run_dir alone: the other flags then keep the values of the run.
"""

from absl import flags

from lada_tf import app
from lada_tf.data import open_source
from lada_tf.errors import UserError
from lada_tf.training import configuration, trainer
from lada_tf.training.distribution import CLUSTERS, STRATEGIES, make_strategy
from lada_tf.training.parent import open_parent
from lada_tf.training.run_directory import RunDirectory
from lada_tf.training.user_callbacks import check_loggers, make_callback

app.DEFINE_path(
    "run_dir", None, "Write the run to this directory, or resume it.", required=True
)
flags.DEFINE_string(
    "init_from",
    "",
    f"Start a new run from the weights of this model: {app.SOURCES}. The settings of "
    "that model are the defaults of the other flags.",
)
flags.DEFINE_enum(
    "on_bad_image",
    "error",
    ["error", "skip"],
    "Stop at the first damaged image, or skip damaged images.",
)
flags.DEFINE_integer(
    "memory_limit_mb",
    4096,
    "Keep datasets of up to N MiB in memory, and larger ones in --cache_dir.",
    0,
)
app.DEFINE_path(
    "cache_dir",
    None,
    "Store resized images in this directory. The default is ~/.cache/lada_tf.",
)
flags.DEFINE_boolean("download", False, "Let TFDS download a missing dataset.")
app.DEFINE_safe_mode()
flags.DEFINE_enum(
    "strategy",
    "none",
    STRATEGIES,
    "Train on one device (none), all GPUs of this machine (mirrored), the GPUs of "
    "several processes (multi_worker), or a TPU (tpu).",
)
flags.DEFINE_enum(
    "cluster",
    "tf_config",
    CLUSTERS,
    "With --strategy=multi_worker, find the other workers in this way.",
)
flags.DEFINE_integer(
    "virtual_cpus",
    1,
    "Split the CPU into N devices, to try --strategy=mirrored without GPUs.",
    1,
)
flags.DEFINE_list(
    "logger",
    ["tensorboard"],
    "Write metrics to these loggers too, besides metrics.jsonl: tensorboard, wandb, "
    "mlflow, separated by commas.",
)
flags.DEFINE_multi_string(
    "callback", [], "Run this Keras callback: module:Class. Can be repeated."
)
flags.DEFINE_boolean(
    "dry_run",
    False,
    "Check the settings, print the plan, and measure memory and time per step. Write "
    "nothing to the run directory.",
)
configuration.define_option_flags()
configuration.define_preset_flags()
flags.adopt_module_key_flags(configuration)  # so that --help lists these flags too
FLAGS = flags.FLAGS

TOPICS = {
    "Common flags": "preset init_from data run_dir total_images batch_size image_size "
    "seed dry_run safe_mode",
    "Data": "resize subset flip on_bad_image memory_limit_mb cache_dir download",
    "Logs, samples and checkpoints": "log_images sample_images checkpoint_images "
    "keep_checkpoints eval_images eval_features eval_samples best_by logger callback",
    "Devices, memory and speed": "precision jit_compile gradient_accumulation_steps "
    "gradient_checkpointing strategy cluster virtual_cpus sync_batch_norm",
    "Losses that are not finite": "on_nonfinite max_rollbacks",
    "Losses and optimizers": "loss augment r1_gamma r1_interval bcr_real bcr_fake "
    "g_learning_rate d_learning_rate g_betas d_betas ema_decay",
    "Generator": "g_widths output_head decoder_widths base_resolution latent_dim "
    "g_heads g_mlp_dim g_attention g_norm g_mlp_residual lee_convolution g_initializer "
    "icnr",
    "Discriminator": "d_widths d_out_widths d_heads d_mlp_dim d_attention d_batch_norm "
    "score d_initializer freeze_d",
}


def main() -> None:
    run = RunDirectory(FLAGS.run_dir)
    if not FLAGS.preset and run.flags_file.exists():
        configuration.resume_from_settings(FLAGS, run.settings(), run.flags_file)
    # The strategy configures the devices, so it must precede TensorFlow's operations.
    strategy = make_strategy(FLAGS.strategy, FLAGS.cluster, FLAGS.virtual_cpus)
    parent = open_parent(FLAGS.init_from, run, FLAGS.seed)
    make_preset = parent.preset if parent else None
    preset = configuration.preset_from_flags(FLAGS, make_preset)
    init_from = parent or FLAGS.init_from
    options = configuration.options_from_flags(FLAGS)
    if not preset.data:
        raise UserError(
            "--data is missing: this preset has no dataset of its own. Example: "
            "--data=photos/"
        )
    check_loggers(FLAGS.logger)
    callbacks = [make_callback(name) for name in FLAGS.callback]
    # First, because decoding the data can take an hour.
    trainer.check(preset, FLAGS.run_dir, options, strategy, init_from=init_from)
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
        trainer.dry_run(preset, source, FLAGS.run_dir, options, strategy, init_from)
    else:
        names = configuration.SOURCE_SETTINGS
        values = {name: FLAGS[name].value for name in names}
        given = {name: value for name, value in values.items() if value is not None}
        trainer.train(
            preset,
            source,
            FLAGS.run_dir,
            options,
            strategy,
            source_settings=given,
            loggers=tuple(FLAGS.logger),
            callbacks=callbacks,
            init_from=init_from,
        )
        print(f"samples: {FLAGS.run_dir}/samples")


if __name__ == "__main__":
    app.run(main, TOPICS)
