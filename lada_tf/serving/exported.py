"""Exported generators, loaded in the runtime of their format."""

import abc
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lada_tf.errors import UserError
from lada_tf.serving.formats import FORMATS, SAVED_MODEL, require


def load_exported(path) -> "ExportedModel":
    """Loads what `lada_tf.export` wrote.

    Args:
        path: the exported folder, or its `.onnx`, `.tflite` or `.keras` file.

    Returns:
        An `ExportedModel`.

    Raises:
        UserError: if nothing that was exported is there, or its runtime is not
            installed, or cannot read it.
    """
    name, file = _find(Path(path))
    require(FORMATS[name])
    loaders: dict[str, Callable[[Path], ExportedModel]] = {
        "savedmodel": SavedModel,
        "keras": KerasFile,
        "onnx": OnnxFile,
        "litert": LiteRtFile,
    }
    try:
        return loaders[name](file)
    except Exception as error:  # each runtime has its own
        raise UserError(f"{file}: cannot be loaded ({_first_line(error)})") from error


def _find(path: Path) -> tuple[str, Path]:
    """The format and the model's file or folder."""
    if (path / SAVED_MODEL).is_file():
        return "savedmodel", path
    for name, form in FORMATS.items():
        file = path / form.file if path.is_dir() else path
        if name != "savedmodel" and file.suffix == form.suffix and file.is_file():
            return name, file
    files = ", ".join(form.file for form in FORMATS.values())
    raise UserError(f"{path}: no exported model there ({files})")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class ExportedModel(abc.ABC):
    """A generator in another runtime, called as `Generator` is; threads may share it.

    Attributes:
        latent_dim: int.
        image_size: int, pixels.

    Call arguments:
        latents: floats (B, latent_dim).
        return_attention_maps: bool.

    Returns:
        Images, a float32 array (B, H, W, 3) meant for [-1, 1]; with
        `return_attention_maps` the pair of them and a list with a float32 array
        (B, heads, tokens) a stage.
    """

    latent_dim: int
    image_size: int

    def __call__(self, latents, return_attention_maps=False):
        outputs = self._forward(np.asarray(latents, np.float32))
        images = np.asarray(outputs["images"])
        if not return_attention_maps:
            return images
        names = sorted(name for name in outputs if name != "images")
        return images, [np.asarray(outputs[name]) for name in names]

    @abc.abstractmethod
    def _forward(self, latents: np.ndarray) -> dict:
        """`images`, `attention_0`, … of float32 latents."""


class SavedModel(ExportedModel):
    """A SavedModel, by `tf.saved_model.load`."""

    def __init__(self, folder: Path):
        import tensorflow as tf

        self._model = tf.saved_model.load(str(folder))  # owns the variables
        self._run = self._model.signatures["forward"]
        (spec,) = self._run.structured_input_signature[1].values()
        self.latent_dim = spec.shape[1]
        self.image_size = self._run.structured_outputs["images"].shape[1]

    def _forward(self, latents):
        import tensorflow as tf

        return self._run(latents=tf.constant(latents))


class KerasFile(ExportedModel):
    """A `.keras` file, in whichever backend Keras runs."""

    def __init__(self, file: Path):
        import keras

        import lada_tf.models  # noqa: F401  Keras has to know the classes

        self._generator = keras.saving.load_model(file, compile=False)
        self.latent_dim = self._generator.latent_dim
        self.image_size = self._generator.image_size

    def _forward(self, latents):
        import keras

        images, maps = self._generator(latents, return_attention_maps=True)
        outputs = {"images": images} | {f"attention_{i}": m for i, m in enumerate(maps)}
        return {k: keras.ops.convert_to_numpy(v) for k, v in outputs.items()}


class OnnxFile(ExportedModel):
    """An ONNX file, in ONNX Runtime on the processor."""

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
    """A `.tflite` file, in LiteRT on the processor."""

    def __init__(self, file: Path):
        from ai_edge_litert.interpreter import Interpreter

        # The runner does not own the interpreter: without this name it would crash.
        self._interpreter = Interpreter(
            model_path=str(file), num_threads=os.cpu_count()
        )
        self._run = self._interpreter.get_signature_runner()
        self._lock = threading.Lock()
        details = self._run.get_input_details()["latents"]
        self.latent_dim = int(details["shape_signature"][1])
        # The file leaves the sides of its outputs open.
        self.image_size = self(np.zeros((1, self.latent_dim))).shape[1]

    def _forward(self, latents):
        with self._lock:  # an interpreter has one set of tensors
            outputs = self._run(latents=latents)
            return {name: np.array(value) for name, value in outputs.items()}
