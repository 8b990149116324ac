"""The sides of a benchmark: this package and the authors' code, a process each."""

import dataclasses
import sys

from absl import flags

from benchmarks.worker import Worker
from lada_tf.models.presets import Preset, get_preset
from lada_tf.training.official_checkpoint import LOSSES


def define_flags(presets: list[str], turns: int, seconds: float) -> None:
    """Define the flags of a benchmark whose sides take turns, with these defaults."""
    flags.DEFINE_list("presets", presets, "Measure these presets.")
    flags.DEFINE_integer("turns", turns, "Turns per side.", lower_bound=1)
    flags.DEFINE_float("seconds", seconds, "Minimum length of a turn in seconds.")
    flags.DEFINE_string("output", None, "JSON file to write.")


def define_official_flags() -> None:
    """Define the flags of a benchmark that can measure the authors' code."""
    flags.DEFINE_string(
        "official",
        None,
        "Directory of the authors' TensorFlow code. Default: measure ours only.",
    )
    flags.DEFINE_string("official_python", None, "Interpreter of its environment.")
    flags.register_multi_flags_validator(
        ["official", "official_python"],
        lambda values: len({value is None for value in values.values()}) == 1,
        "give both --official and --official_python, or neither",
    )


@dataclasses.dataclass(frozen=True)
class Side:
    """A worker that has not started yet."""

    python: str
    module: str
    settings: dict

    def start(self, **options) -> Worker:
        """Start the worker. The options are those of `Worker`."""
        return Worker(self.python, self.module, self.settings, **options)


def our_side(task: str, preset: str, batch_size: int = 1, **settings) -> Side:
    """Return this package as a side.

    Args:
        task: `train` or `sample`.
        preset: name of a preset.
        batch_size: images per training step.
        **settings: optional settings of `benchmarks.ours`.
    """
    settings |= {"task": task, "preset": preset, "batch_size": batch_size}
    return Side(sys.executable, "benchmarks.ours", settings)


def official_sides(task: str, preset: str, batch_size: int = 1) -> dict[str, Side]:
    """Return the authors' code as a dict of one side; empty without `--official`."""
    if not flags.FLAGS.official:
        return {}
    settings = {
        "task": task,
        "path": flags.FLAGS.official,
        "config": official_config(get_preset(preset, batch_size=batch_size)),
    }
    side = Side(flags.FLAGS.official_python, "benchmarks.official", settings)
    return {"official": side}


def official_config(preset: Preset) -> dict:
    """Return the preset as the fields of the authors' config.py."""
    official_losses = {ours: official for official, ours in LOSSES.items()}
    return {
        "img_size": preset.image_size,
        "batch_size": preset.batch_size,
        "noise_dim": preset.latent_dim,
        "g_dim": preset.g_widths,
        "g_heads": _per_stage(preset.g_heads, preset),
        "g_mlp": _per_stage(preset.g_mlp_dim, preset),
        "dec_dim": preset.decoder_widths or False,
        "d_enc_dim": preset.d_widths,
        "d_out_dim": preset.d_out_widths,
        "d_heads": preset.d_heads,
        "d_mlp": preset.d_mlp_dim,
        "d_initializer": preset.d_initializer,
        "gp_weight": preset.r1_gamma,
        "policy": preset.augment,
        "bcr": preset.bcr_real > 0,
        "cr_weight": preset.bcr_real,
        "loss": official_losses[preset.loss],
        "ema_decay": preset.ema_decay,
        "g_lr": preset.g_learning_rate,
        "g_beta1": preset.g_betas[0],
        "g_beta2": preset.g_betas[1],
        "d_lr": preset.d_learning_rate,
        "d_beta1": preset.d_betas[0],
        "d_beta2": preset.d_betas[1],
    }


def _per_stage(values, preset):
    return values if len(values) > 1 else values * len(preset.g_widths)
