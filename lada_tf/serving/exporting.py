"""Export a generator: convert it, run the export, and compare it with Keras."""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lada_tf.errors import ExportFailed, UserError
from lada_tf.io import (
    check_output,
    read_text,
    replacing,
    replacing_directory,
    user_path,
)
from lada_tf.layers.attentions import trusting
from lada_tf.models import Generator, LadaGAN, hub
from lada_tf.models.pretrained import (
    DTYPES,
    FILES,
    load_pretrained_generator,
    save_pretrained,
)
from lada_tf.serving.comparison import Comparison, compare
from lada_tf.serving.converters import write_litert, write_onnx
from lada_tf.serving.exported import (
    FORMATS,
    Format,
    first_line,
    get_format,
    load_exported,
)
from lada_tf.serving.model_card import complete_card, describe_model
from lada_tf.serving.saved_model import MAX_BATCH, write_saved_model
from lada_tf.serving.web_page import write_web_page

CARD_FILE = "README.md"
# Files by which lada_tf recognizes a model in a directory. index.html is not one.
OUR_FILES = {form.file for form in FORMATS.values() if form.file != "index.html"}
OUR_FILES |= set(FILES)
CARD_MARK = "- Exported by: lada_tf"  # a line of model_card.md
# Maximum error of pixels in [-1, 1]: the largest one for float32, otherwise the mean.
TOLERANCES = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 2e-2, "int8": 0.15}


def export_generator(
    generator: Generator,
    output: str | os.PathLike,
    format: str = "savedmodel",
    precision: str | None = None,
    card: str | None = None,
    max_batch: int = MAX_BATCH,
    jit_compile: bool = False,
    overwrite: bool = False,
) -> Comparison:
    """Export a generator, and compare the export with Keras on 64 latents.

    If the export fails or is not accurate, `output` stays as it was.

    Args:
        generator: a built `Generator`, such as `LadaGAN.ema_generator`.
        output: path of a new directory, or of a file with the format's suffix.
        format: one of `FORMATS`.
        precision: one of the format's precisions. The default is its first one.
        card: model card, see `describe_run`. It is written to README.md in the
            directory, or next to a file: c10.onnx.md for c10.onnx.
        max_batch: maximum number of images per request to a SavedModel.
        jit_compile: whether XLA compiles a SavedModel on the server.
        overwrite: whether to replace an earlier export in any format. Other files are
            kept.

    Returns:
        The comparison of the exported model with Keras.

    Raises:
        UserError: if the format or precision is unknown, a package is missing, or the
            output exists or cannot be written.
        ExportFailed: if the converter fails, or the exported model cannot be loaded or
            exceeds the tolerance of its precision.
    """
    form, precision = get_format(format, precision)
    card_path = check_export("output", output, form, overwrite)
    output = Path(user_path(output))
    with _new_output("output", output, form.file, card_path) as directory:
        try:
            path = directory / form.file
            _convert(generator, path, format, precision, max_batch, jit_compile)
            with trusting(safe_mode=False):  # we wrote it
                model = load_exported(directory)
            comparison = compare(model, generator, with_distance=precision != "float32")
        except Exception as error:  # converters raise exceptions of their own types
            raise ExportFailed(f"format={format}: {first_line(error)}") from error
        _check_accuracy(comparison, format, precision)
        if card:
            fidelity = (
                f"The weights are {precision}. Compared with Keras on 64 latents: "
                f"{comparison}."
            )
            name = output.name if card_path else form.file
            _write_card(directory, card, format, fidelity, generator, file=name)
    return comparison


def export_for_hub(
    gan: LadaGAN,
    directory: str | os.PathLike,
    card: str | None = None,
    overwrite: bool = False,
    dtype: str = "float32",
    repo_id: str = "USER/REPO",
) -> None:
    """Write a directory for the Hugging Face Hub: both networks and a model card.

    Upload it with `hf upload USER/REPO DIRECTORY`.

    Args:
        gan: the model.
        directory: path of the directory.
        card: model card, see `describe_run`. By default that of `describe_model`.
        overwrite: whether to replace an earlier export in any format. Other files are
            kept.
        dtype: dtype of the stored weights, `"float32"` or `"float16"`.
        repo_id: id of the repository, for the card's example.

    Raises:
        UserError: if the dtype is unknown, or the directory exists or cannot be
            written.
        ExportFailed: if the exported generator returns different images.
    """
    if dtype not in DTYPES:
        raise UserError(f"dtype={dtype}: expected one of {', '.join(DTYPES)}")
    check_export("directory", directory, None, overwrite)
    directory = Path(user_path(directory))
    card = card or describe_model(gan)
    with _new_output("directory", directory) as temporary:
        save_pretrained(gan, temporary, dtype)
        fidelity = f"The EMA weights, {dtype}."
        generator = gan.ema_generator
        _write_card(temporary, card, "hub", fidelity, generator, repo_id=repo_id)
        latents = np.zeros((1, gan.latent_dim), np.float32)
        again = load_pretrained_generator(temporary, safe_mode=False)  # we wrote it
        errors = np.abs(again(latents) - generator(latents))
        tolerance = TOLERANCES[dtype] if dtype != "float32" else 0
        if not errors.mean() <= tolerance:  # also if it is NaN
            raise ExportFailed(
                f"directory={directory}: the exported generator returns different "
                "images. Report this bug"
            )


def push_to_hub(
    gan: LadaGAN,
    repo_id: str,
    dtype: str = "float32",
    card: str | None = None,
    commit_message: str | None = None,
    **options: Any,
) -> str:
    """Upload a model to the Hugging Face Hub.

    Args:
        gan, repo_id, dtype, card, commit_message: see `LadaGAN.push_to_hub`.
        **options: other arguments of `hub.upload`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary, "model")
        export_for_hub(gan, directory, card, dtype=dtype, repo_id=repo_id)
        return hub.upload(
            directory,
            repo_id,
            commit_message=commit_message
            or f"Upload LadaGAN after {gan.images_seen:,} images",
            keep=() if card else (CARD_FILE,),
            **options,
        )


def _convert(generator, path: Path, format, precision, max_batch, jit_compile) -> None:
    if format == "savedmodel":
        write_saved_model(generator, path.parent, max_batch, jit_compile, precision)
    elif format == "keras":
        generator.save(path)
    elif format == "onnx":
        write_onnx(generator, path, precision)
    elif format == "web":
        write_web_page(generator, path.parent, precision)
    else:
        write_litert(generator, path, precision)


def _write_card(
    directory: Path, card: str, usage: str, fidelity: str, generator: Generator, **names
) -> None:
    dim = str(generator.latent_dim)
    text = complete_card(card, usage, fidelity, latent_dim=dim, **names)
    (directory / CARD_FILE).write_text(text, encoding="utf-8")


def _check_accuracy(comparison: Comparison, format: str, precision: str) -> None:
    statistic = "max" if precision == "float32" else "mean"
    error = getattr(comparison, f"{statistic}_error")
    if not error <= TOLERANCES[precision]:  # also if it is NaN
        advice = "Choose a precision with more bits"
        if precision == "float32":
            advice = "Choose another format, and report this bug"
        raise ExportFailed(
            f"format={format}, precision={precision}: the {statistic} pixel error is "
            f"{error:.2g}, above {TOLERANCES[precision]}. {advice}"
        )


def check_export(
    argument: str,
    output: str | os.PathLike,
    form: Format | None = None,
    overwrite: bool = False,
) -> Path | None:
    """Check the output of an export before the work.

    Args:
        argument: name of the argument, for messages.
        output: path of a directory or file.
        form: the format; None for the Hub's layout.
        overwrite: whether an earlier export may be replaced.

    Returns:
        The path of the file's model card; None if the output is a directory.

    Raises:
        UserError: if the output has a wrong ending, exists or cannot be written, or if
            the model card would replace another file.
    """
    output = user_path(output)
    for name, other in FORMATS.items():
        is_other = other.suffix and Path(output).suffix.lower() == other.suffix
        if form and is_other and other is not form and not Path(output).is_dir():
            raise UserError(
                f"{argument}={output}: expected another ending for this format. For "
                f"{other.suffix} set format={name}"
            )
    endings = (form.suffix, "") if form and form.suffix else ("",)
    ending = check_output(argument, output, endings, overwrite)
    card = Path(f"{output}.md") if ending else Path(output, CARD_FILE)
    # An export that was killed can leave a card without a model.
    may_replace = overwrite or (ending and not Path(output).exists())
    if card.exists() and not (may_replace and CARD_MARK in read_text(card)):
        raise UserError(
            f"{argument}={output}: the model card would replace {card}. Choose another "
            "path, or move that file"
        )
    return card if ending else None


@contextlib.contextmanager
def _new_output(
    argument: str, output: Path, file: str = "", card: Path | None = None
) -> Iterator[Path]:
    """Yield an empty directory; move it or its file to `output` if the body succeeds.

    Args:
        argument: name of the argument, for messages.
        output: where to move it.
        file: name of the model's main file.
        card: where to move the card, if only `file` and the card are moved.

    Raises:
        UserError: if the output cannot be written.
    """
    try:
        _remove_leftovers(output)
        if not card:
            with replacing_directory(output) as directory:
                yield Path(directory)
                names = os.listdir(directory)
            # Loading would find an older model of another format first.
            for stale in OUR_FILES.difference(names):
                (output / stale).unlink(missing_ok=True)
            return
        output.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{output.name[:50]}."
        with tempfile.TemporaryDirectory(
            ".partial", prefix, output.parent
        ) as directory:
            yield Path(directory)
            for name, target in {CARD_FILE: card, file: output}.items():
                if (source := Path(directory, name)).exists():
                    with replacing(target) as temporary:
                        source.replace(temporary)
    except OSError as error:
        raise UserError(
            f"{argument}={output}: cannot be written ({error.strerror or error})"
        ) from error


def _remove_leftovers(output: Path) -> None:
    """Remove temporary files that killed exports to `output` have left."""
    ours = re.compile(rf"\.{re.escape(output.name[:50])}\.(md\.)?\w{{8,12}}\.partial")
    for path in [*output.parent.glob(".*"), *output.glob(".*")]:
        if not ours.fullmatch(path.name):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
