"""Load trained models from a run directory."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lada_tf.errors import UserError
from lada_tf.layers.attentions import trusting
from lada_tf.models import Generator, LadaGAN
from lada_tf.models.networks import check_sizes, copy_without_weights, make_networks
from lada_tf.models.pretrained import weights_of_at_most
from lada_tf.training.checkpoints import Checkpoints, find_checkpoint, read_variables
from lada_tf.training.configuration import parse_field
from lada_tf.training.run_directory import RunDirectory


def load_run(
    run_dir: str | os.PathLike,
    best: bool = False,
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
) -> LadaGAN:
    """Load the complete training state of a run.

    Args:
        run_dir: path of a run directory.
        best: whether to load the checkpoint with the lowest Fréchet distance (see
            `TrainingOptions.fd_images`) instead of the newest one.
        custom_objects: your own attention layers, by the names in the run's flags.cfg.
        safe_mode: whether to refuse a run that names an attention `module:Class`, which
            loading would import.

    Returns:
        A compiled `LadaGAN`.

    Raises:
        UserError: if there is no run, or no such checkpoint.
    """
    directory = RunDirectory(run_dir)
    with trusting(custom_objects, safe_mode):
        preset = directory.read_preset()
        with _weights_as_stored(directory):
            check_sizes(preset)
        gan = LadaGAN.from_preset(
            preset,
            seed=parse_field("seed", directory.read_setting("seed", "0")),
            precision=parse_field(
                "precision", directory.read_setting("precision", "float32")
            ),
        )
    gan.compile()
    _require(Checkpoints(directory.checkpoints, gan).restore(best), run_dir, best)
    return gan


def load_generator(
    run_dir: str | os.PathLike,
    best: bool = False,
    precision: str = "float32",
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
) -> Generator:
    """Load only the EMA generator of a run, in a third of the memory of `load_run`.

    Args:
        run_dir, best, custom_objects, safe_mode: see `load_run`.
        precision: `"float32"` or `"bfloat16"`, the dtype of weights and arithmetic.

    Raises:
        UserError: see `load_run`.
    """
    directory = RunDirectory(run_dir)
    with trusting(custom_objects, safe_mode):
        generator, _ = make_networks(directory.read_preset())
        with _weights_as_stored(directory):
            generator = copy_without_weights(generator, precision)
    path = _require(find_checkpoint(directory.checkpoints, best), run_dir, best)
    read_variables(path, "ema_generator", generator.weights)
    return generator


@contextlib.contextmanager
def _weights_as_stored(directory: RunDirectory) -> Iterator[None]:
    """Refuse networks in the body that have more weights than the checkpoints."""
    sizes = [file.stat().st_size for file in directory.checkpoints.rglob("*")]
    if not sizes:
        _require(None, directory.path, best=False)
    try:
        with weights_of_at_most(sum(sizes)):
            yield
    except ValueError as error:
        raise UserError(f"{directory.flags_file}: {error}") from error


def _require(checkpoint: Path | None, run_dir: str | os.PathLike, best: bool) -> Path:
    if checkpoint is None:
        kind = "best checkpoint" if best else "checkpoint"
        raise UserError(f"run_dir={run_dir}: no {kind} yet")
    return checkpoint
