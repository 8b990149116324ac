"""Export formats, and exported generators in the runtime of their format."""

import abc
import dataclasses
import importlib.util
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

import lada_tf.models  # noqa: F401  registers the classes of .keras files
from lada_tf.errors import UserError
from lada_tf.models.pretrained import load_network

SAVED_MODEL = "saved_model.pb"


class ExportedModel(abc.ABC):
    """A generator in another runtime. Call it like a `Generator`, from any thread.

    Attributes:
        latent_dim: length of a latent.
        image_size: height and width of an image in pixels.

    Call arguments:
        latents: float array (B, latent_dim).
        return_attention_maps: bool. If True, also return the attention maps.

    Returns:
        Images, a float32 array (B, H, W, 3) in about [-1, 1]. With
        `return_attention_maps`, a pair: the images, and a list with one float32 array
        (B, heads, tokens) per stage.
    """

    latent_dim: int
    image_size: int

    def __call__(self, latents: ArrayLike, return_attention_maps: bool = False) -> Any:
        latents = np.asarray(latents, np.float32)
        if hasattr(self, "latent_dim") and latents.shape[1:] != (self.latent_dim,):
            raise UserError(
                f"latents: expected the shape (n, {self.latent_dim}), not "
                f"{latents.shape}"
            )
        outputs = self._forward(latents)
        images = np.asarray(outputs["images"])
        if not return_attention_maps:
            return images
        names = sorted(name for name in outputs if name != "images")
        return images, [np.asarray(outputs[name]) for name in names]

    @abc.abstractmethod
    def _forward(self, latents: np.ndarray) -> dict:
        """Return `images` and `attention_0`, … for float32 latents."""


class SavedModel(ExportedModel):
    """A SavedModel in TensorFlow."""

    def __init__(self, directory: Path):
        self._model = tf.saved_model.load(str(directory))  # owns the variables
        self._run = self._model.signatures["forward"]
        (spec,) = self._run.structured_input_signature[1].values()
        self.latent_dim = spec.shape[1]
        self.image_size = self._run.structured_outputs["images"].shape[1]

    def _forward(self, latents):
        return self._run(latents=tf.constant(latents))


class KerasFile(ExportedModel):
    """A `.keras` file in Keras, on the active backend."""

    def __init__(self, file: Path):
        self.generator = load_network(file)
        self.latent_dim = self.generator.latent_dim
        self.image_size = self.generator.image_size

    def _forward(self, latents):
        images, maps = self.generator(latents, return_attention_maps=True)
        outputs = {"images": images} | {f"attention_{i}": m for i, m in enumerate(maps)}
        return {k: keras.ops.convert_to_numpy(v) for k, v in outputs.items()}


class OnnxFile(ExportedModel):
    """An ONNX file in ONNX Runtime, on the CPU."""

    def __init__(self, file: Path):
        import onnxruntime

        self._session = onnxruntime.InferenceSession(
            str(file), providers=["CPUExecutionProvider"]
        )
        outputs = {value.name: value.shape for value in self._session.get_outputs()}
        self._names = list(outputs)
        self.latent_dim = self._session.get_inputs()[0].shape[1]
        self.image_size = outputs["images"][1]

    def _forward(self, latents):
        values = self._session.run(self._names, {"latents": latents})
        return dict(zip(self._names, values, strict=True))


class LiteRtFile(ExportedModel):
    """A `.tflite` file in LiteRT, on the CPU."""

    def __init__(self, file: Path):
        from ai_edge_litert.interpreter import Interpreter

        # The runner does not keep the interpreter alive and crashes without it.
        self._interpreter = Interpreter(str(file), num_threads=os.cpu_count())
        self._run = self._interpreter.get_signature_runner()
        self._lock = threading.Lock()
        details = self._run.get_input_details()["latents"]
        self.latent_dim = int(details["shape_signature"][1])
        # The file does not store the shapes of its outputs.
        self.image_size = self(np.zeros((1, self.latent_dim))).shape[1]

    def _forward(self, latents):
        with self._lock:  # all calls share the interpreter's tensors
            outputs = self._run(latents=latents)
            return {name: np.array(value) for name, value in outputs.items()}


@dataclasses.dataclass(frozen=True)
class Format:
    """An export format.

    Attributes:
        file: name of the model's main file in the exported directory.
        load: opens the export for inference.
        precisions: precisions of the weights, the default first. Arithmetic is float32,
            except in `bfloat16` and in the 8-bit matmuls of `int8`.
        suffix: suffix of the file if the model is a single file, otherwise empty.
        extra: the extra of lada_tf that installs the modules of the format.
    """

    file: str
    load: Callable[[Path], ExportedModel]
    precisions: tuple[str, ...] = ("float32",)
    suffix: str = ""
    extra: str = ""


MODULES_OF_EXTRAS = {
    "onnx": ("onnx", "onnxruntime", "tf2onnx"),
    "litert": ("ai_edge_litert",),
}
FORMATS = {
    "savedmodel": Format(SAVED_MODEL, SavedModel, ("float32", "bfloat16")),
    "keras": Format("generator.keras", KerasFile, suffix=".keras"),
    "onnx": Format("generator.onnx", OnnxFile, ("float32", "float16"), ".onnx", "onnx"),
    "web": Format("index.html", OnnxFile, ("float16", "float32"), "", "onnx"),
    "litert": Format(
        "generator.tflite",
        LiteRtFile,
        ("float32", "float16", "int8"),
        ".tflite",
        "litert",
    ),
}


def get_format(name: str, precision: str | None = None) -> tuple[Format, str]:
    """Return a format and a precision. The default precision is the format's first.

    Raises:
        UserError: if the format is unknown, does not have the precision, or needs a
            module that is not installed.
    """
    if name not in FORMATS:
        raise UserError(f"format={name}: expected one of {', '.join(FORMATS)}")
    form = FORMATS[name]
    precision = precision or form.precisions[0]
    if precision not in form.precisions:
        raise UserError(
            f"precision={precision}: expected one of {', '.join(form.precisions)} for "
            f"format={name}"
        )
    _require_modules(name)
    return form, precision


def load_exported(path: str | os.PathLike) -> ExportedModel:
    """Load an exported model.

    Args:
        path: the exported directory, or its `.onnx`, `.tflite` or `.keras` file.

    Returns:
        An `ExportedModel`.

    Raises:
        UserError: if there is no exported model, or its runtime is not installed or
            cannot load it.
    """
    found = find_exported(path)
    if not found:
        files = ", ".join(form.file for form in FORMATS.values())
        raise UserError(f"{path}: no exported model found. Expected one of {files}")
    name, file = found
    _require_modules(name)
    try:
        return FORMATS[name].load(file)
    except Exception as error:  # runtimes raise exceptions of their own types
        raise UserError(f"{file}: cannot be loaded ({first_line(error)})") from error


def first_line(error: Exception) -> str:
    """Return the start of an error's message, which may contain a whole graph."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def find_exported(path: str | os.PathLike) -> tuple[str, Path] | None:
    """Return the format of an exported model and the path to load, or None."""
    path = Path(path)
    if (path / SAVED_MODEL).is_file():
        return "savedmodel", path
    for name, form in FORMATS.items():
        file = path / form.file if path.is_dir() else path
        suffix = file.suffix.lower()
        if form.suffix and suffix == form.suffix and file.is_file():
            return name, file
    return None


def _require_modules(name: str) -> None:
    form = FORMATS[name]
    modules = MODULES_OF_EXTRAS.get(form.extra, ())
    missing = [name for name in modules if not importlib.util.find_spec(name)]
    if missing:
        raise UserError(
            f"format={name}: requires {', '.join(missing)}. Run: pip install "
            f"'lada_tf[{form.extra}]'"
        )
