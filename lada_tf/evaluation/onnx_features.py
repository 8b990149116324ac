"""Features of an ONNX file, such as DINOv2 or CLIP, in ONNX Runtime.

Settings add what the names and shapes of the input and output do not say. Pass them as
"range=0,1 mean=0.485,0.456,0.406 std=0.229,0.224,0.225", or store them in the file's
metadata (`metadata_props`) with the same keys:

    layout   nchw or nhwc
    size     side of the images in pixels, if the input has no fixed size
    range    low,high: values of a black and of a white pixel; 0,255 by default
    mean     of each channel, in that range; subtracted
    std      of each channel, in that range; divides the difference
    output   name of the output

ONNX's own key `Image.NominalPixelRange` sets the range too.
"""

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.evaluation.extract_features import Extractor, Features
from lada_tf.evaluation.statistics import split_rows
from lada_tf.io import sha256, user_path

DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
OUTPUTS = ("features", "image_embeds", "pooler_output")  # in order of preference
KEYS = ("layout", "size", "range", "mean", "std", "output")
NOMINAL_RANGES = {
    "NominalRange_0_255": "0,255",
    "Normalized_0_1": "0,1",
    "Normalized_1_1": "-1,1",
}
MAX_BATCH = 64


class OnnxFeatures(Extractor):
    """Extract features with an ONNX file whose input is a batch of RGB images.

    Images are resized to the input's size (bilinear, antialiased). Outputs are vectors
    (n, d); tokens (n, t, d) and maps are averaged over their positions.

    Args:
        path: path of the file.
        settings: see the module.

    Raises:
        UserError: the file cannot be loaded, its input is no batch of RGB images, or a
            setting is missing or wrong.
    """

    def __init__(self, path: str, settings: str | None = None):
        path = user_path(path)
        self._where = f"features={path}"
        self._session = _open(path)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            shapes = ", ".join(f"{i.name} {tuple(i.shape)}" for i in inputs)
            raise UserError(
                f"{self._where}: the model needs one input of images, (n, 3, height, "
                f"width) or (n, height, width, 3). It has {shapes}"
            )
        [self._input] = inputs
        if self._input.type not in DTYPES:
            raise UserError(
                f"{self._where}: the input is {self._input.type}, not one of "
                f"{', '.join(DTYPES)}"
            )
        self._dtype = DTYPES[self._input.type]
        metadata = self._session.get_modelmeta().custom_metadata_map
        values = self._read(metadata) | _parse(settings or "")
        self._read_shape(list(self._input.shape), values)
        self._low, self._high = self._numbers(values, "range", (0.0, 255.0))
        self._mean = self._numbers(values, "mean", (0.0, 0.0, 0.0))
        self._std = self._numbers(values, "std", (1.0, 1.0, 1.0))
        if self._low == self._high or 0 in self._std:
            raise UserError(
                f"{self._where}: std must not be 0, and range needs two different "
                "values"
            )
        scaling = {"range", "mean", "std"} & values.keys()
        if self._dtype is np.uint8 and scaling:
            raise UserError(
                f"{self._where}: a uint8 input gets pixels from 0 to 255. Leave out "
                f"{', '.join(sorted(scaling))}"
            )
        self._output = self._choose_output(values.get("output"))
        self.label = Path(path).stem
        # Large weights are in separate files, next to the model.
        name, siblings = Path(path).name, sorted(Path(path).parent.iterdir())
        files = [f for f in siblings if f.name.startswith(name) and f.is_file()]
        digest = "+".join(sha256(file)[:12] for file in files)
        facts = (self._layout, self._size, self._low, self._high, *self._mean)
        text = ",".join(map(str, (*facts, *self._std, self._output)))
        self.identity = f"{self.label}:{digest}:{text}"

    def extract(self, images: np.ndarray) -> Features:
        parts = split_rows(images, self._batch or MAX_BATCH)
        return Features(np.concatenate([self._run(part) for part in parts]))

    def _run(self, images: np.ndarray) -> np.ndarray:
        count = len(images)
        batch = self._prepare(images)
        if self._batch and count < self._batch:
            batch = np.concatenate([batch, batch[:1].repeat(self._batch - count, 0)])
        try:
            [values] = self._session.run([self._output], {self._input.name: batch})
        except Exception as error:  # the runtime's types have no common base
            raise UserError(
                f"{self._where}: fails on {batch.dtype} images {batch.shape} "
                f"({_first_line(error)}). Set size in features_input"
            ) from error
        values = np.asarray(values, np.float32)
        if values.ndim < 2 or len(values) != len(batch):
            raise UserError(
                f"{self._where}: returns {values.shape} for {len(batch)} images, not "
                "one vector per image"
            )
        values = values[:count]
        if values.ndim == 4 and self._layout == "nchw":
            values = np.moveaxis(values, 1, -1)
        return values.reshape(count, -1, values.shape[-1]).mean(axis=1)

    def _prepare(self, images: np.ndarray) -> np.ndarray:
        batch: np.ndarray = images.astype(np.float32)
        if self._size and images.shape[1:3] != self._size:
            batch = tf.image.resize(batch, self._size, antialias=True).numpy()
        if self._dtype is np.uint8:
            batch = np.clip(np.round(batch), 0, 255)
        else:
            batch = self._low + batch / 255 * (self._high - self._low)
            mean, std = (np.array(v, np.float32) for v in (self._mean, self._std))
            batch = (batch - mean) / std
        if self._layout == "nchw":
            batch = np.moveaxis(batch, -1, 1)
        return np.ascontiguousarray(batch, self._dtype)

    def _read(self, metadata: Mapping[str, str]) -> dict[str, str]:
        """Return the settings in the metadata."""
        values = {key: metadata[key] for key in KEYS if metadata.get(key)}
        nominal = metadata.get("Image.NominalPixelRange")
        if nominal in NOMINAL_RANGES:
            values.setdefault("range", NOMINAL_RANGES[nominal])
        elif nominal and "range" not in values:
            raise UserError(
                f"{self._where}: unknown pixel range {nominal} in the metadata. Set "
                "range in features_input"
            )
        return values

    def _read_shape(self, shape: list[Any], values: Mapping[str, str]) -> None:
        """Set layout, size and batch size. Sizes that are not ints are unknown."""
        found = [name for name, i in (("nchw", 1), ("nhwc", 3)) if shape[i] == 3]
        layout = values.get("layout", found[0] if len(found) == 1 else "").lower()
        if layout not in ("nchw", "nhwc"):
            raise UserError(
                f"{self._where}: the input {tuple(shape)} has no clear layout. Set "
                "layout=nchw or layout=nhwc in features_input or in the file's metadata"
            )
        channels = shape[layout.index("c")]
        if isinstance(channels, int) and channels != 3:
            raise UserError(
                f"{self._where}: the input {tuple(shape)} has {channels} channels in "
                f"the layout {layout}, not 3 (RGB)"
            )
        self._layout = layout
        self._batch = shape[0] if isinstance(shape[0], int) else None
        sides = shape[layout.index("h")], shape[layout.index("w")]
        fixed = all(isinstance(side, int) for side in sides)
        self._size: tuple[int, int] | None = sides if fixed else None
        if "size" in values:
            [size] = self._numbers(values, "size", (0.0,))
            if size < 1 or size % 1 or (fixed and sides != (size, size)):
                raise UserError(
                    f"{self._where}: size={values['size']} does not fit the input "
                    f"{tuple(shape)}"
                )
            self._size = int(size), int(size)

    def _numbers(
        self, values: Mapping[str, str], key: str, default: tuple[float, ...]
    ) -> tuple[float, ...]:
        if key not in values:
            return default
        try:
            numbers = tuple(
                float(part) for part in values[key].strip("[]()").split(",")
            )
        except ValueError:
            numbers = ()
        if len(numbers) != len(default) or not np.isfinite(numbers).all():
            raise UserError(
                f"{self._where}: {key}={values[key]}: expected {len(default)} numbers "
                "separated by commas"
            )
        return numbers

    def _choose_output(self, name: str | None) -> str:
        names = [output.name for output in self._session.get_outputs()]
        known = [output for output in OUTPUTS if output in names]
        if not name:
            name = known[0] if known else names[0] if len(names) == 1 else ""
        if name not in names:
            raise UserError(
                f"{self._where}: set output in features_input to one of "
                f"{', '.join(names)}"
            )
        return name


def _open(path: str) -> Any:
    """Return the ONNX Runtime session of a file."""
    if not os.path.isfile(path):
        raise UserError(f"features={path} does not exist")
    if not importlib.util.find_spec("onnxruntime"):
        raise UserError(
            f"features={path} requires onnxruntime. Run: pip install 'lada_tf[onnx]'"
        )
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    available = onnxruntime.get_available_providers()
    providers = [name for name in PROVIDERS if name in available]
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # the runtime's types have no common base
        raise UserError(
            f"features={path} is not an ONNX file that can be loaded: "
            f"{_first_line(error)}"
        ) from error


def _parse(settings: str) -> dict[str, str]:
    """Return the keys and values of "range=0,1 layout=nchw"."""
    values = dict(part.partition("=")[::2] for part in settings.split())
    if wrong := [key for key, value in values.items() if key not in KEYS or not value]:
        raise UserError(
            f"features_input={settings}: {wrong[0]!r} is not a known key with a value. "
            f"Expected KEY=VALUE, separated by spaces, with the keys {', '.join(KEYS)}"
        )
    return values


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
