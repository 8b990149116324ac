"""This package and the authors' code as workers of one benchmark."""

import functools
import sys

from absl import flags

from benchmarks.worker import Worker
from lada_tf.models.presets import get_preset


def define_flags() -> None:
    """Flags of the program that measures both sides."""
    flags.DEFINE_string(
        "official", None, "Folder of the authors' TensorFlow code; without it, ours."
    )
    flags.DEFINE_string(
        "official_python", None, "Interpreter of an environment that it runs in."
    )
    flags.register_multi_flags_validator(
        ["official", "official_python"],
        lambda values: len({value is None for value in values.values()}) == 1,
        "--official and --official_python belong together",
    )


def both_sides(task: str, preset: str, batch_size: int, **ours) -> dict:
    """Side → callable that starts its worker.

    Args:
        task: `train` or `sample`.
        preset: name of a preset.
        batch_size: images of a training step.
        **ours: more settings of our side, see `benchmarks.ours`.
    """
    settings = {"task": task, "preset": preset, "batch_size": batch_size, **ours}
    sides = {
        "ours": functools.partial(Worker, sys.executable, "benchmarks.ours", settings)
    }
    if flags.FLAGS.official:
        sides["official"] = functools.partial(
            Worker,
            flags.FLAGS.official_python,
            "benchmarks.official",
            {
                "task": task,
                "path": flags.FLAGS.official,
                "conf": official_conf(preset, batch_size),
            },
        )
    return sides


def official_conf(name: str, batch_size: int) -> dict:
    """A preset in the names of the authors' config.py."""
    preset = get_preset(name)
    stages = len(preset.g_widths)
    return {
        "img_size": preset.image_size,
        "batch_size": batch_size,
        "noise_dim": preset.latent_dim,
        "g_dim": preset.g_widths,
        "g_heads": preset.g_heads * (stages // len(preset.g_heads)),
        "g_mlp": preset.g_mlp * (stages // len(preset.g_mlp)),
        "dec_dim": preset.decoder_widths or False,
        "d_enc_dim": preset.d_widths,
        "d_out_dim": preset.d_out_widths,
        "d_heads": preset.d_heads,
        "d_mlp": preset.d_mlp,
        "loss": {"non_saturating": "nsl"}.get(preset.loss, preset.loss),
        "gp_weight": preset.r1_gamma,
        "policy": preset.augment,
        "bcr": preset.bcr_real > 0,
        "cr_weight": preset.bcr_real,
        "ema_decay": preset.ema_decay,
        "g_lr": preset.g_learning_rate,
        "g_betas": preset.g_betas,
        "d_lr": preset.d_learning_rate,
        "d_betas": preset.d_betas,
    }
