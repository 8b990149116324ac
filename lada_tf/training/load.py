"""Load trained models from a run directory."""

import os
from collections.abc import Iterator
from pathlib import Path

from lada_tf.errors import UserError
from lada_tf.models import Generator, LadaGAN
from lada_tf.models.networks import copy_without_weights, make_networks
from lada_tf.training.checkpoints import (
    Checkpoints,
    find_checkpoint,
    read_manifest,
    read_variables,
    whole_checkpoints,
)
from lada_tf.training.run_directory import RunDirectory


def load_run(run_dir: str | os.PathLike, best: bool = False) -> LadaGAN:
    """Load the complete training state of a run.

    Args:
        run_dir: path of a run directory.
        best: whether to load the best checkpoint (see `TrainingOptions.best_by`)
            instead of the newest one.

    Returns:
        A compiled `LadaGAN`.

    Raises:
        UserError: if there is no run, or no such checkpoint.
    """
    directory = RunDirectory(run_dir)
    gan = LadaGAN.from_preset(
        directory.read_preset(),
        seed=int(directory.read_setting("seed", "0")),
        precision=directory.read_setting("precision", "float32"),
    )
    gan.compile()
    _require(Checkpoints(directory.checkpoints, gan).restore(best), run_dir, best)
    return gan


def load_generator(
    run_dir: str | os.PathLike, best: bool = False, precision: str = "float32"
) -> Generator:
    """Load only the EMA generator of a run, in a third of the memory of `load_run`.

    Args:
        run_dir, best: see `load_run`.
        precision: `"float32"` or `"bfloat16"`, the dtype of weights and arithmetic.

    Raises:
        UserError: see `load_run`.
    """
    directory = RunDirectory(run_dir)
    generator, _ = make_networks(directory.read_preset())
    generator = copy_without_weights(generator, precision)
    path = _require(find_checkpoint(directory.checkpoints, best), run_dir, best)
    read_variables(path, "ema_generator", generator.weights)
    return generator


def load_each_generator(
    run_dir: str | os.PathLike,
) -> Iterator[tuple[str, int, Generator]]:
    """Yield the name, number of images, and EMA generator of each whole checkpoint.

    The oldest comes first. The generator is always the same object with other weights.

    Raises:
        UserError: see `load_run`.
    """
    generator = load_generator(run_dir)
    directory = RunDirectory(run_dir).checkpoints
    paths = {}
    for kind in ("best", "images"):  # both can have the same number of images
        for path in whole_checkpoints(directory, kind):
            paths[read_manifest(path)["images"]] = path
    for images_seen, path in sorted(paths.items()):
        read_variables(path, "ema_generator", generator.weights)
        yield path.name, images_seen, generator


def _require(checkpoint: Path | None, run_dir: str | os.PathLike, best: bool) -> Path:
    if checkpoint is None:
        kind = "best checkpoint" if best else "checkpoint"
        raise UserError(f"run_dir={run_dir}: no {kind} yet")
    return checkpoint
