"""Load a generator from any of the places where lada_tf writes one."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lada_tf.errors import UserError
from lada_tf.io import user_path
from lada_tf.models import Generator, LadaGAN
from lada_tf.models.pretrained import CONFIG
from lada_tf.serving.exported import ExportedModel, load_exported
from lada_tf.training import load


def load_generator(
    source: str | os.PathLike,
    best: bool = False,
    precision: str | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
) -> Generator | ExportedModel:
    """Load the generator of a run, of a Hub directory, or of an exported model.

    Args:
        source: path of a run directory; of a directory that `save_pretrained` or
            `lada_tf.export --format=hub` wrote; or of an exported model in any format.
        best: whether to load the best checkpoint of a run (see
            `TrainingOptions.best_by`) instead of the newest one.
        precision: dtype of a run's generator, `"float32"` (the default) or
            `"bfloat16"`. An exported model has its own.
        custom_objects: your own attention layers, by the names that the files use.
        safe_mode: whether to refuse a run or model that names code to import.

    Returns:
        A `Generator`, or an `ExportedModel`, which is called in the same way.

    Raises:
        UserError: if there is no such generator, or it cannot be loaded.
    """
    path = Path(user_path(source))
    if (path / "flags.cfg").exists():
        return load.load_generator(
            path, best, precision or "float32", custom_objects, safe_mode
        )
    for name, value in {"best": best, "precision": precision}.items():
        if value:
            raise UserError(f"{name}={value}: {source} is not a run directory")
    if (path / CONFIG).exists():
        gan = LadaGAN.from_pretrained(
            path, custom_objects=custom_objects, safe_mode=safe_mode
        )
        return gan.ema_generator
    return load_exported(path)
