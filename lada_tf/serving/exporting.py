"""One export: written aside, checked in its own runtime, then moved into place."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from lada_tf.errors import ExportFailed, UserError
from lada_tf.io import default_cache_dir
from lada_tf.serving.comparison import Comparison, compare
from lada_tf.serving.exported import load_exported
from lada_tf.serving.formats import FORMATS, TOLERANCES, Format, get_format
from lada_tf.serving.model_card import CARD, ModelCard, card_text
from lada_tf.serving.saved_model import MAX_BATCH, write_saved_model

USAGES = {
    "savedmodel": """```python
model = tf.saved_model.load(folder)
model.signatures["serving_default"](latents=latents)["images"]  # uint8
```""",
    "keras": """```python
import keras, lada_tf

generator = keras.saving.load_model("generator.keras")  # any backend of Keras
images = generator(latents)  # about [-1, 1]
```""",
    "onnx": """```python
session = onnxruntime.InferenceSession("generator.onnx")
(images,) = session.run(["images"], {"latents": latents})  # about [-1, 1]
```""",
    "web": """```sh
python -m http.server --directory .  # or any other web host
```""",
    "litert": """```python
interpreter = ai_edge_litert.interpreter.Interpreter("generator.tflite")
outputs = interpreter.get_signature_runner()(latents=latents)  # about [-1, 1]
```""",
}


def export_generator(
    generator,
    output,
    format: str = "savedmodel",
    precision: str | None = None,
    card: ModelCard | None = None,
    max_batch: int = MAX_BATCH,
    jit_compile: bool = False,
) -> Comparison:
    """Exports a generator, and checks what was written.

    The model is loaded in its own runtime and compared with Keras on 64 latents before
    it gets its name: an invalid file is never left behind.

    Args:
        generator: a built `Generator`, such as `LadaGAN.ema_generator`.
        output: path of a new folder; or of a file with the format's ending, whose card
            then lies beside it as `NAME.md`.
        format: one of `FORMATS`.
        precision: one of the format's; its first by default.
        card: written beside the model as README.md, if given.
        max_batch: int, images that one request to a SavedModel may ask for.
        jit_compile: bool, whether XLA compiles a SavedModel where it is run.

    Returns:
        How the exported model compares with Keras.

    Raises:
        UserError: if the format or precision is unknown, a package is missing, or the
            output exists or cannot be written.
        ExportFailed: if a converter fails, or the result cannot be loaded or differs
            from Keras by more than the precision's tolerance.
    """
    form, precision = get_format(format, precision)
    with new_folder(output, form) as folder:
        try:
            path = folder / form.file
            _write(generator, path, format, precision, max_batch, jit_compile)
            model = load_exported(folder)
            comparison = compare(model, generator, with_distance=precision != "float32")
        except Exception as error:  # every converter and runtime has its own
            raise ExportFailed(f"--format={format}: {_short(error)}") from error
        _check(comparison, format, precision)
        if card:
            fidelity = f"Stored as {precision}. On 64 latents: {comparison}."
            text = card_text(card, USAGES[format], fidelity)
            (folder / CARD).write_text(text)
    return comparison


def _write(generator, path: Path, format, precision, max_batch, jit_compile) -> None:
    # Each converter's import costs seconds that the others do not need.
    if format == "savedmodel":
        write_saved_model(generator, path.parent, max_batch, jit_compile, precision)
    elif format == "keras":
        generator.save(path)
    elif format == "onnx":
        from lada_tf.serving.onnx_file import write_onnx

        write_onnx(generator, path, precision)
    elif format == "web":
        from lada_tf.serving.web_page import write_web_page

        write_web_page(generator, path.parent, precision, Path(default_cache_dir()))
    else:
        from lada_tf.serving.litert_file import write_litert

        write_litert(generator, path, precision)


def _short(error: Exception) -> str:
    """A converter's message may be its whole graph."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _check(comparison: Comparison, format: str, precision: str) -> None:
    limit = TOLERANCES[precision]
    exact = precision == "float32"
    error = comparison.max_error if exact else comparison.mean_error
    if not error <= limit:  # NaN is not, either
        raise ExportFailed(
            f"--format={format} --precision={precision}: images differ from Keras' by "
            f"{error:.2g} ({'at most' if exact else 'in the mean'}), more than {limit}"
        )


@contextlib.contextmanager
def new_folder(output, form: Format | None = None) -> Iterator[Path]:
    """Yields an empty folder, and moves it to `output` once all went well.

    Where `output` names a file of the format, its file and card are moved instead.

    Raises:
        UserError: if there is something already, or it cannot be written.
    """
    output = Path(output)
    as_file = form is not None and form.suffix and output.suffix == form.suffix
    if not as_file and output.suffix in {f.suffix for f in FORMATS.values()} - {""}:
        raise UserError(f"--output={output}: the ending is that of another format")
    if output.is_dir() and not any(output.iterdir()):
        output.rmdir()
    if output.exists():
        raise UserError(f"--output={output}: exists already; give another")
    partial = output.with_name(f".{output.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        yield partial
        if as_file and form:
            if (partial / CARD).exists():
                os.replace(partial / CARD, output.with_suffix(".md"))
            os.replace(partial / form.file, output)
        else:
            os.replace(partial, output)
    except OSError as error:
        raise UserError(
            f"--output={output}: cannot be written ({error.strerror or error})"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
