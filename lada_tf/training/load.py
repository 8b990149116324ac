"""Trained models from a run folder."""

from pathlib import Path

from lada_tf.errors import UserError
from lada_tf.models import LadaGAN
from lada_tf.models.networks import copy_without_weights, make_networks
from lada_tf.training.checkpoints import (
    Checkpoints,
    find_best,
    find_newest,
    read_variables,
)
from lada_tf.training.run_directory import RunDirectory


def load_run(run_dir, best=False):
    """The LadaGAN of a run folder, with the state of its newest whole checkpoint.

    Args:
        run_dir: path of a run folder.
        best: bool, whether to take the checkpoint of the lowest Fréchet distance that
            training measured (`--fd_images`) instead.

    Returns:
        A compiled `LadaGAN`.

    Raises:
        UserError: if there is no run, or it has no such checkpoint yet.
    """
    folder = RunDirectory(run_dir)
    gan = LadaGAN.from_preset(
        folder.read_preset(),
        seed=int(folder.read_setting("seed", "0")),
        precision=folder.read_setting("precision", "float32"),
    )
    gan.compile()
    checkpoints = Checkpoints(folder.checkpoints, gan)
    _require(
        checkpoints.restore_best() if best else checkpoints.restore(), run_dir, best
    )
    return gan


def load_generator(run_dir, best=False, precision="float32"):
    """The averaged generator of a run folder alone, in a third of the memory.

    Args:
        run_dir: path of a run folder.
        best: bool, as of `load_run`.
        precision: of weights and products, `"float32"` or `"bfloat16"`, see
            `lada_tf.models.networks.in_precision`.

    Returns:
        A `Generator` that computes in that precision.

    Raises:
        UserError: as `load_run`.
    """
    folder = RunDirectory(run_dir)
    generator, _ = make_networks(folder.read_preset())
    generator = copy_without_weights(generator, precision)
    find = find_best if best else find_newest
    checkpoint = _require(find(folder.checkpoints), run_dir, best)
    read_variables(checkpoint, "ema_generator", generator.weights)
    return generator


def _require(checkpoint: Path | None, run_dir, best) -> Path:
    if checkpoint is None:
        which = "best checkpoint" if best else "checkpoint"
        raise UserError(f"--run_dir={run_dir}: no {which} there yet")
    return checkpoint
