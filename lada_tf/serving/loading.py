"""Load a generator from a run, a pretrained model or an exported model."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lada_tf.errors import UserError
from lada_tf.io import user_path
from lada_tf.models import Generator
from lada_tf.models.networks import copy_generator
from lada_tf.models.pretrained import CONFIG, load_pretrained_generator
from lada_tf.serving.exported import ExportedModel, find_exported, load_exported
from lada_tf.serving.served_model import find_versions
from lada_tf.training.load import find_run, load_run_generator
from lada_tf.training.official_checkpoint import OFFICIAL_PREFIX
from lada_tf.training.sources import find_pretrained, load_source


def load_generator(
    source: str | os.PathLike,
    precision: str | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
) -> Generator | ExportedModel:
    """Load the EMA generator of a source, without the rest of its `LadaGAN`.

    Args:
        source: a source of `lada_tf.training.sources`, such as `"RUN:best"`,
            `"hf://USER/REPO"` or `"portraits"`; or the path of an exported model.
        precision: `"float32"` or `"bfloat16"`, the dtype of weights and arithmetic. An
            exported model has its own.
        custom_objects: your own attention layers, by the names that the files use.
        safe_mode: whether to refuse a run or model that names code to import.

    Returns:
        A `Generator`, or an `ExportedModel`, which is called in the same way.

    Raises:
        UserError: if there is no such generator, or it cannot be loaded.
    """
    trusted = custom_objects, safe_mode
    if run := find_run(source):
        return load_run_generator(*run, precision or "float32", *trusted)
    path = Path(user_path(source))
    if find_exported(path) and not (path / CONFIG).exists():
        if precision:
            raise UserError(
                f"precision={precision}: {source} is an exported model and has its own "
                "precision. Leave out precision"
            )
        return load_exported(path)
    if versions := find_versions(path):
        raise UserError(
            f"{source}: a directory of versions. Choose one, such as {versions[0]}"
        )
    if os.fspath(source).startswith(OFFICIAL_PREFIX):
        generator = load_source(source, *trusted).ema_generator
    else:
        generator = load_pretrained_generator(find_pretrained(source), *trusted)
    return copy_generator(generator, precision) if precision else generator
