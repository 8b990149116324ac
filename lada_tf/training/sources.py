"""Load a LadaGAN from any place where its networks are stored.

A source is one of:

RUN               a run directory: its newest checkpoint
RUN:best          its best checkpoint
DIRECTORY         what `LadaGAN.save_pretrained` or `export --hub_layout` wrote
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lada_tf.errors import UserError
from lada_tf.io import user_path
from lada_tf.models import LadaGAN
from lada_tf.models.pretrained import CONFIG
from lada_tf.training.load import load_run


def load_source(
    source: str | os.PathLike,
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
) -> LadaGAN:
    """Return the `LadaGAN` of a source. It is compiled only if it comes from a run.

    Args:
        source: see above.
        custom_objects, safe_mode: see `load_run`.

    Raises:
        UserError: if there is no such source, or it cannot be loaded.
    """
    text = os.fspath(source)
    path, best = Path(user_path(text)), False
    if not path.exists() and text.endswith(":best"):
        path, best = Path(user_path(text.removesuffix(":best"))), True
    if (path / "flags.cfg").exists():
        return load_run(path, best, custom_objects, safe_mode)
    if (path / CONFIG).exists() and not best:
        return LadaGAN.from_pretrained(path, custom_objects, safe_mode)
    raise UserError(
        f"{source}: neither a run directory nor a pretrained model. Expected RUN, "
        "RUN:best, or a directory with config.json"
    )
