"""Configuration of a run: `TrainingOptions`, and its and `Preset`'s flags.

The dataclass fields of `Preset` and `TrainingOptions` carry the documentation, default,
choices, and lower bound of each option. The flags of `lada_tf.train` are generated from
them, and a run directory's `flags.cfg` is written from and read into them.
"""

import dataclasses
import math
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import flags

from lada_tf.errors import UserError
from lada_tf.models.presets import PRESETS, Preset

DATA_COMMENT = "# data: "


def _option(doc: str, default: Any, **limits: Any) -> Any:
    """Return a field. `limits` are `choices`, or a `minimum` other than 1."""
    return dataclasses.field(default=default, metadata={"doc": doc, **limits})


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """Settings of a run besides its `Preset`.

    Each field is a flag of `lada_tf.train` with the same name. Intervals count real
    images.
    """

    seed: int = _option(
        "Seed of the weights, latents, augmentation, and data order.", 0, minimum=0
    )
    flip: bool = _option("Flip half of the real images horizontally.", False)
    log_images: int = _option("Images between log lines.", 10_000)
    sample_images: int = _option("Images between sample grids.", 100_000)
    checkpoint_images: int = _option("Images between checkpoints.", 100_000)
    keep_checkpoints: int = _option("Number of most recent checkpoints to keep.", 2)
    fd_images: int = _option(
        "Images between measurements of the Fréchet distance over a small classifier's "
        "features (not FID). The checkpoint with the lowest distance is kept. 0 turns "
        "this off.",
        0,
        minimum=0,
    )
    fd_samples: int = _option(
        "Images per measurement of the Fréchet distance.", 1_000, minimum=2
    )
    precision: str = _option(
        "Dtype of the networks' arithmetic.",
        "float32",
        choices=("float32", "bfloat16", "float16"),
    )
    gradient_accumulation_steps: int = _option(
        "Micro-batches per batch. More micro-batches need less memory.", 1
    )
    gradient_checkpointing: bool = _option(
        "Recompute activations during the backward pass to save memory.", False
    )
    sync_batch_norm: bool = _option(
        "Normalize with the statistics of the whole batch, across all replicas.", True
    )
    jit_compile: bool = _option("Compile the training step with XLA.", False)
    on_nonfinite: str = _option(
        "Reaction to a loss or gradient that is not finite: stop, or roll back to the "
        "last checkpoint and continue with another seed.",
        "stop",
        choices=("stop", "rollback"),
    )
    max_rollbacks: int = _option("Maximum number of rollbacks per run.", 3, minimum=0)


FIELDS = {field.name: field for field in dataclasses.fields(Preset)}
OPTION_FIELDS = {field.name: field for field in dataclasses.fields(TrainingOptions)}
REQUIRED = [name for name, f in FIELDS.items() if f.default is dataclasses.MISSING]
TYPES = typing.get_type_hints(Preset) | typing.get_type_hints(TrainingOptions)


def define_preset_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Define `--preset` and one flag per field of `Preset`, without defaults."""
    flags.DEFINE_enum(
        "preset",
        None,
        list(PRESETS),
        "Configuration to start from. The flags below override its fields.",
        flag_values=flag_values,
    )
    for field in FIELDS.values():
        _define_flag(field, None, flag_values)


def define_option_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Define one flag per field of `TrainingOptions`, with its default."""
    for field in OPTION_FIELDS.values():
        _define_flag(field, field.default, flag_values)


def preset_from_flags(values: flags.FlagValues) -> Preset:
    """Return the preset that `--preset` names, with the fields that other flags set.

    Raises:
        UserError: if there is no preset and a required field is missing.
    """
    flag_values: dict[str, Any] = {name: values[name].value for name in FIELDS}
    given = {name: v for name, v in flag_values.items() if v is not None}
    if values.preset:
        return dataclasses.replace(PRESETS[values.preset], **given)
    missing = [name for name in REQUIRED if name not in given]
    if missing:
        raise UserError(
            f"no preset: set preset to one of {', '.join(PRESETS)}, or set "
            f"{', '.join(missing)}"
        )
    return Preset(**given)


def options_from_flags(values: flags.FlagValues) -> TrainingOptions:
    """Return the `TrainingOptions` that the flags set."""
    options: dict[str, Any] = {name: values[name].value for name in OPTION_FIELDS}
    return TrainingOptions(**options)


def parse_field(name: str, text: str) -> Any:
    """Convert the text of a flag to the type of its field.

    Raises:
        UserError: if the text does not have this type, or the value is out of range.
    """
    try:
        return _FieldParser(FIELDS.get(name) or OPTION_FIELDS[name]).parse(text)
    except ValueError as error:
        raise UserError(f"{name}={text}: {error}") from None


def flagfile_text(settings: Mapping[str, Any]) -> str:
    """Return a flagfile with one `--name=value` per line.

    Raises:
        UserError: if a value contains a line break.
    """
    text = ""
    for name, value in settings.items():
        if isinstance(value, tuple):
            value = ",".join(map(str, value))
        elif isinstance(value, bool):
            value = str(value).lower()
        if "\n" in str(value) or "\r" in str(value):
            raise UserError(
                f"{name}={value!r}: flags.cfg cannot store a line break. Rename it"
            )
        text += f"--{name}={value}\n"
    return text


def parse_settings(text: str) -> dict[str, str]:
    """Return the names and values in a flagfile that `flagfile_text` wrote.

    The comment `# data: …` is returned as the setting `data fingerprint`.
    """
    settings = {}
    for line in text.split("\n"):
        if line.startswith("--"):
            name, _, value = line[2:].partition("=")
            settings[name] = value
        elif line.startswith(DATA_COMMENT):
            settings["data fingerprint"] = line.removeprefix(DATA_COMMENT)
    return settings


def preset_from_settings(settings: dict[str, str], path: str | Path) -> Preset:
    """Return the preset in the settings of a run directory's flagfile at `path`.

    Fields that are missing, because an older version wrote the file, get their default.

    Raises:
        UserError: if a required field is missing, or a value is invalid.
    """
    if missing := [name for name in REQUIRED if name not in settings]:
        raise UserError(f"{path}: {missing[0]} is missing")
    known = [name for name in FIELDS if name in settings]
    return Preset(**{name: parse_field(name, settings[name]) for name in known})


def _define_flag(
    field: dataclasses.Field, default: Any, flag_values: flags.FlagValues
) -> None:
    doc, choices = field.metadata["doc"], field.metadata.get("choices")
    if TYPES[field.name] is bool:
        flags.DEFINE_boolean(field.name, default, doc, flag_values=flag_values)
    elif choices:
        flags.DEFINE_enum(field.name, default, choices, doc, flag_values=flag_values)
    else:
        flags.DEFINE(_FieldParser(field), field.name, default, doc, flag_values)


class _FieldParser(flags.ArgumentParser):
    """Parser of one field. Its errors lack the name, which absl adds."""

    def __init__(self, field: dataclasses.Field):
        self._field = field

    def parse(self, argument: Any) -> Any:
        """Convert text to the type of the field, or raise a ValueError."""
        kind = TYPES[self._field.name]
        if kind is str or not isinstance(argument, str):  # absl also parses the default
            return argument
        if kind is bool:
            if argument.lower() not in ("true", "false"):
                raise ValueError("expected true or false")
            return argument.lower() == "true"
        names = {int: "an integer", float: "a number"}
        number_type = kind if kind in names else typing.get_args(kind)[0]
        parts = [argument] if kind in names else filter(str.strip, argument.split(","))
        try:
            numbers = tuple(number_type(part) for part in parts)
        except ValueError:
            expected = names.get(kind, "numbers separated by commas")
            raise ValueError(f"expected {expected}") from None
        minimum = self._field.metadata.get("minimum", 0 if number_type is float else 1)
        if not all(minimum <= number < math.inf for number in numbers):  # or NaN
            raise ValueError(f"must be finite and at least {minimum}")
        return numbers[0] if kind in names else numbers
