"""Load trained models from a run directory. A source RUN or RUN:best names it."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lada_tf.errors import UserError
from lada_tf.io import user_path
from lada_tf.layers.attentions import trusting
from lada_tf.models import Generator, LadaGAN
from lada_tf.models.networks import check_sizes, copy_without_weights, make_networks
from lada_tf.models.pretrained import weights_of_at_most
from lada_tf.training.checkpoints import (
    Checkpoints,
    find_checkpoint,
    read_manifest,
    read_variables,
    whole_checkpoints,
)
from lada_tf.training.configuration import parse_field
from lada_tf.training.run_directory import RunDirectory


class Run(NamedTuple):
    """A run directory, and whether to load its best checkpoint: see `load_run`."""

    path: Path
    best: bool


def find_run(source: str | os.PathLike) -> Run | None:
    """Return the run of a source `RUN` or `RUN:best`, or None for other sources."""
    text = user_path(source)
    for path, best in ((text, False), (text.removesuffix(":best"), True)):
        if Path(path, "flags.cfg").exists():
            return Run(Path(path), best)
    return None


def load_run(
    run_dir: str | os.PathLike,
    best: bool = False,
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
) -> LadaGAN:
    """Load the complete training state of a run.

    Args:
        run_dir: path of a run directory.
        best: whether to load the best checkpoint (see `TrainingOptions.best_by`)
            instead of the newest one.
        custom_objects: your own attention layers, by the names in the run's flags.cfg.
        safe_mode: whether to refuse a run with an attention `module:Class`, because
            loading imports the module.

    Returns:
        A compiled `LadaGAN`.

    Raises:
        UserError: if there is no run, or no such checkpoint.
    """
    directory = RunDirectory(run_dir)
    checkpoint = _find(directory, best)
    with trusting(custom_objects, safe_mode):
        preset = directory.read_preset()
        with _weights_of(checkpoint):
            check_sizes(preset)
        gan = LadaGAN.from_preset(
            preset,
            seed=parse_field("seed", directory.read_setting("seed", "0")),
            precision=parse_field(
                "precision", directory.read_setting("precision", "float32")
            ),
        )
    gan.compile()
    Checkpoints(directory.checkpoints, gan).read(checkpoint)
    gan.origin = directory.path.absolute(), gan.images_seen
    return gan


def load_run_generator(
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
    checkpoint = _find(directory, best)
    with trusting(custom_objects, safe_mode), _weights_of(checkpoint):
        generator, _ = make_networks(directory.read_preset())
        generator = copy_without_weights(generator, precision)
    read_variables(checkpoint, "ema_generator", generator.weights)
    return generator


def load_each_generator(
    run_dir: str | os.PathLike,
) -> Iterator[tuple[str, int, Generator]]:
    """Yield the name, number of images, and EMA generator of each whole checkpoint.

    The oldest checkpoint comes first. Every generator is the same object: its weights
    change with each iteration.

    Raises:
        UserError: see `load_run`.
    """
    generator = load_run_generator(run_dir)
    directory = RunDirectory(run_dir).checkpoints
    paths = {}
    for kind in ("best", "images"):  # both can have the same number of images
        for path in whole_checkpoints(directory, kind):
            paths[read_manifest(path)["images"]] = path
    for images_seen, path in sorted(paths.items()):
        read_variables(path, "ema_generator", generator.weights)
        yield path.name, images_seen, generator


@contextlib.contextmanager
def _weights_of(checkpoint: Path) -> Iterator[None]:
    """Raise a UserError if the networks that the body builds do not fit the files.

    The settings of a stranger's run could otherwise ask for any amount of memory.
    """
    size = sum(file.stat().st_size for file in checkpoint.iterdir())
    try:
        with weights_of_at_most(size):
            yield
    except ValueError as error:
        raise UserError(f"{checkpoint}: {error}") from error


def _find(directory: RunDirectory, best: bool) -> Path:
    """Return the newest or the best checkpoint of a run."""
    directory.settings()  # raises if there is no run
    checkpoint = find_checkpoint(directory.checkpoints, best)
    if checkpoint is None:
        reason = (
            "no best checkpoint yet. Only training with eval_images=N saves one. Use "
            "the newest checkpoint"
            if best
            else "no checkpoint yet. Training saves one every 10 minutes, and on Ctrl-C"
        )
        raise UserError(f"run_dir={directory.path}: {reason}")
    return checkpoint
