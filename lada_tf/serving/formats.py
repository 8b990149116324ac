"""What a generator can be exported as: the one list of formats and precisions."""

import dataclasses
import importlib.util

from lada_tf.errors import UserError

# What an export may differ from Keras by, in units of the image range's half (images
# are meant for [-1, 1]): the largest difference of float32, the mean one of the others.
TOLERANCES = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 2e-2, "int8": 0.15}


@dataclasses.dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        file: name of the model's file in the exported folder; a SavedModel has several.
        precisions: of the stored weights; the first is the default. Arithmetic is
            float32, but for `int8`, whose products are 8-bit (dynamic quantization),
            and `bfloat16`, whose products are of it too.
        modules: what writing and checking it imports, beyond what the package needs.
        extra: the extra of the package that installs them.
    """

    file: str
    precisions: tuple[str, ...] = ("float32",)
    modules: tuple[str, ...] = ()
    extra: str = ""

    @property
    def suffix(self) -> str:
        """Ending of the file; empty where the model is a folder of several."""
        folders = (SAVED_MODEL, WEB_PAGE)
        return "" if self.file in folders else "." + self.file.rpartition(".")[2]


SAVED_MODEL = "saved_model.pb"
WEB_PAGE = "index.html"
FORMATS = {
    "savedmodel": Format(SAVED_MODEL, ("float32", "bfloat16")),
    "keras": Format("generator.keras"),
    "onnx": Format(
        "generator.onnx",
        ("float32", "float16"),
        ("onnx", "onnxruntime", "tf2onnx"),
        "onnx",
    ),
    "web": Format(
        WEB_PAGE, ("float16", "float32"), ("onnx", "onnxruntime", "tf2onnx"), "onnx"
    ),
    "litert": Format(
        "generator.tflite",
        ("float32", "float16", "int8"),
        ("ai_edge_litert",),
        "litert",
    ),
}


def get_format(name: str, precision: str | None = None) -> tuple[Format, str]:
    """A format and one of its precisions, its default if None.

    Raises:
        UserError: if there is no such pair, or a package that it needs is absent.
    """
    if name not in FORMATS:
        raise UserError(f"--format={name}: one of {', '.join(FORMATS)}")
    form = FORMATS[name]
    precision = precision or form.precisions[0]
    if precision not in form.precisions:
        raise UserError(
            f"--precision={precision}: --format={name} has {', '.join(form.precisions)}"
        )
    require(form)
    return form, precision


def require(form: Format) -> None:
    """Raises `UserError` where a package that a format needs is not installed."""
    absent = [name for name in form.modules if not importlib.util.find_spec(name)]
    if absent:
        raise UserError(
            f"{form.file} needs {', '.join(absent)}: "
            f"pip install 'lada_tf[{form.extra}]'"
        )
