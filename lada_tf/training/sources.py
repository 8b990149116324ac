"""Load a LadaGAN from any place where its networks are stored.

A source is one of:

RUN                         a run directory: its newest checkpoint
RUN:best                    its best checkpoint
DIRECTORY                   from `LadaGAN.save_pretrained` or `export --hub_layout`
hf://USER/REPO[@REVISION]   the same on the Hugging Face Hub
official:NAME               the authors' cifar10, celeba_64, ffhq_128 or bedroom_128
NAME                        a model that comes with this package, such as portraits
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lada_tf.errors import UserError
from lada_tf.io import user_path
from lada_tf.models import LadaGAN, hub
from lada_tf.models.pretrained import (
    CONFIG,
    FILES,
    WEIGHTS,
    bundled_directory,
    bundled_names,
    load_pretrained,
)
from lada_tf.training.load import find_run, load_run
from lada_tf.training.official_checkpoint import (
    OFFICIAL_PREFIX,
    load_official_checkpoint,
)


def load_source(
    source: str | os.PathLike,
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
    cls: type[LadaGAN] = LadaGAN,
    token: str | None = None,
) -> LadaGAN:
    """Return the `LadaGAN` of a source.

    The model is compiled if it comes from a run or from `official:NAME`. If the source
    has no discriminator, the model gets a new one, and a warning is logged.

    Args:
        source: see above. Local models take precedence.
        custom_objects, safe_mode: see `load_run`.
        cls: class of a model that does not come from a run.
        token: token of the Hugging Face Hub. The default is that of `hf auth login`.

    Raises:
        UserError: if there is no such source, or it cannot be loaded.
    """
    text = os.fspath(source)
    if run := find_run(source):
        return load_run(*run, custom_objects, safe_mode)
    if text.startswith(OFFICIAL_PREFIX):
        return load_official_checkpoint(text)
    directory = find_pretrained(source, token)
    return load_pretrained(cls, directory, custom_objects, safe_mode)


def has_discriminator(source: str | os.PathLike) -> bool:
    """Return whether a source has a discriminator. Argument: see `load_source`."""
    if find_run(source) or os.fspath(source).startswith(OFFICIAL_PREFIX):
        return True
    return (find_pretrained(source) / WEIGHTS["discriminator"]).exists()


def find_pretrained(source: str | os.PathLike, token: str | None = None) -> Path:
    """Return the directory of a pretrained model. Download it if necessary.

    Args:
        source: DIRECTORY, NAME, or hf://USER/REPO, see above.
        token: see `load_source`.

    Raises:
        UserError: if there is no such model, or the Hub cannot be reached.
    """
    text = os.fspath(source)
    path = Path(user_path(text))
    if (path / CONFIG).exists():
        return path
    if text in bundled_names():
        return bundled_directory(text)
    if not text.startswith(hub.HUB_PREFIX):
        names = ", ".join(
            (
                "a run directory RUN",
                "RUN:best",
                "hf://USER/REPO",
                f"{OFFICIAL_PREFIX}NAME",
                *bundled_names(),
            )
        )
        repository = hub.as_source(text)
        hint = f". For a model on the Hub, use {repository}"
        raise UserError(
            f"{source}: no such model. Expected {names}, a directory with {CONFIG} or, "
            f"to generate images, an exported model{hint if repository != text else ''}"
        )
    path = hub.download(text, FILES, token)
    if not (path / CONFIG).exists():
        raise UserError(
            f"{source}: has no {CONFIG}, so it is not a pretrained LadaGAN. Check the "
            "name"
        )
    return path
