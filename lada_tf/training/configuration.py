"""Configuration of a run: `TrainingOptions`, flags, and the text of `flags.cfg`.

The fields of the dataclasses `Preset` and `TrainingOptions` contain the documentation,
default, choices, and interval of each setting. They define the flags of `lada_tf.train`
and the lines of a run directory's `flags.cfg`.
"""

import dataclasses
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from absl import flags

from lada_tf.errors import UserError
from lada_tf.layers.attentions import check_trusted
from lada_tf.models.networks import PRECISIONS
from lada_tf.models.presets import (
    PRESETS,
    Preset,
    check_settings,
    get_preset,
    setting,
    setting_error,
)
from lada_tf.runtime import MAX_SEED

# Flags of `lada_tf.train` and `lada_tf.evaluate` on how to open the data. If skipping
# damaged images makes a difference, it changes the fingerprint of the data.
SOURCE_SETTINGS = ("on_bad_image", "memory_limit_mb", "cache_dir", "download")
# Facts about a run that are not flags: prefix of the line in flags.cfg -> name.
COMMENTS = {"# data: ": "data fingerprint", "# parent: ": "parent"}
COUNT = "[0, 1e18]"
# Number of intervals per run, and the longest interval in images.
AUTOMATIC_INTERVALS = {
    "log_images": (100, 10_000),
    "sample_images": (5, 100_000),
    "checkpoint_images": (5, 100_000),
}


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """Settings of a run besides its `Preset`.

    Each field is a flag of `lada_tf.train` with the same name. Intervals count real
    images; 0 means automatic, see `automatic_intervals`.
    """

    seed: int = setting(
        "Seed of the initial weights, latents, augmentation, and data order.",
        0,
        interval=f"[0, {MAX_SEED}]",
    )
    flip: bool = setting("Flip half of the real images horizontally.", False)
    log_images: int = setting(
        "Write a log line every N images. 0 selects a hundredth of total_images, at "
        "most 10,000.",
        0,
        interval=COUNT,
    )
    sample_images: int = setting(
        "Write a sample grid every N images. 0 selects a fifth of total_images, at "
        "most 100,000.",
        0,
        interval=COUNT,
    )
    checkpoint_images: int = setting(
        "Save a checkpoint every N images, and every 10 minutes. 0 selects a fifth of "
        "total_images, at most 100,000.",
        0,
        interval=COUNT,
    )
    keep_checkpoints: int = setting("Keep this many of the newest checkpoints.", 2)
    eval_images: int = setting(
        "Measure the Fréchet distance and KID every N images, and keep the best "
        "checkpoint. 0 turns this off.",
        0,
        interval=COUNT,
    )
    eval_features: str = setting(
        "Measure with these features: inception (FID), keras_inception_v3, "
        "small_classifier, or the path of a .keras file, .onnx file, or SavedModel. "
        "The default is inception if its graph is in the cache directory, and "
        "otherwise small_classifier for images up to 64x64. Larger images have no "
        "default.",
        "",
    )
    eval_samples: int = setting(
        "Measure with this many generated and real images.",
        1_000,
        interval="[2, 1e18]",
    )
    best_by: str = setting(
        "The best checkpoint has the lowest Fréchet distance (fd) or KID (kid).",
        "fd",
        choices=("fd", "kid"),
    )
    precision: str = setting(
        "Use this dtype for the arithmetic of the networks.",
        "float32",
        choices=tuple(PRECISIONS),
    )
    gradient_accumulation_steps: int = setting(
        "Split each batch into N micro-batches, to save memory.", 1
    )
    gradient_checkpointing: bool = setting(
        "Recompute activations during the backward pass to save memory.", False
    )
    sync_batch_norm: bool = setting(
        "Normalize with the statistics of the whole batch, across all replicas.", True
    )
    jit_compile: bool = setting("Compile the training step with XLA.", False)
    on_nonfinite: str = setting(
        "If a loss or gradient is not finite, stop, or roll back to the last "
        "checkpoint and continue with another seed.",
        "stop",
        choices=("stop", "rollback"),
    )
    max_rollbacks: int = setting(
        "Roll back at most N times per run.", 3, interval=COUNT
    )

    def __post_init__(self) -> None:
        check_settings(self)

    def automatic_intervals(self, preset: Preset) -> "TrainingOptions":
        """Return these options with a number of images for each interval that is 0.

        Short runs get about 100 log lines, 5 grids, and 5 checkpoints. No interval is
        shorter than a batch.
        """
        resolved: dict[str, Any] = {
            name: max(preset.batch_size, min(longest, preset.total_images // times))
            for name, (times, longest) in AUTOMATIC_INTERVALS.items()
            if not getattr(self, name)
        }
        return dataclasses.replace(self, **resolved)


FIELDS = {field.name: field for field in dataclasses.fields(Preset)}
OPTION_FIELDS = {field.name: field for field in dataclasses.fields(TrainingOptions)}
REQUIRED = [name for name, f in FIELDS.items() if f.default is dataclasses.MISSING]


def define_preset_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Define `--preset` and one flag per field of `Preset`, without defaults."""
    flags.DEFINE_enum(
        "preset",
        None,
        list(PRESETS),
        "Start from this configuration. Other flags override its fields.",
        flag_values=flag_values,
    )
    for field in FIELDS.values():
        _define_flag(field, None, flag_values)


def define_option_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Define one flag per field of `TrainingOptions`, with its default."""
    for field in OPTION_FIELDS.values():
        _define_flag(field, field.default, flag_values)


def preset_from_flags(
    values: flags.FlagValues, make_preset: Callable[..., Preset] | None = None
) -> Preset:
    """Return the preset that `--preset` names, with the fields that other flags set.

    Args:
        values: the flags.
        make_preset: called with the fields that flags set if there is no `--preset`.
            The default is `Preset`.

    Raises:
        UserError: if there is no preset and a required field is missing.
    """
    flag_values: dict[str, Any] = {name: values[name].value for name in FIELDS}
    given = {name: v for name, v in flag_values.items() if v is not None}
    if values.preset:
        return get_preset(values.preset, **given)
    if make_preset:
        return make_preset(**given)
    missing = [name for name in REQUIRED if name not in given]
    if missing:
        raise UserError(
            f"preset=NAME is required in a new run: one of {', '.join(PRESETS)}. Or "
            f"set init_from=MODEL, or all of {', '.join(missing)}"
        )
    return Preset(**given)


def options_from_flags(values: flags.FlagValues) -> TrainingOptions:
    """Return the `TrainingOptions` that the flags set."""
    options: dict[str, Any] = {name: values[name].value for name in OPTION_FIELDS}
    return TrainingOptions(**options)


def resume_from_settings(
    values: flags.FlagValues, settings: Mapping[str, str], path: str | Path
) -> None:
    """Set each flag that is not on the command line to the setting of a run.

    Args:
        values: the flags.
        settings: the settings in the run directory's flagfile.
        path: path of this flagfile, for errors.

    Raises:
        UserError: if a value is invalid, or an attention would import code.
    """
    # Not all flags: the run of a stranger must not name code, such as a callback.
    stored = {*FIELDS, *OPTION_FIELDS, *SOURCE_SETTINGS, "init_from", "logger"}
    names = [n for n in settings.keys() & stored if not values[n].present]
    _check_attentions({name: settings[name] for name in names}, path)
    for name in names:
        try:
            values[name].parse(settings[name])
        except flags.Error as error:
            raise UserError(f"{path}: {error}") from error


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
                f"{name}={value!r}: flags.cfg cannot store a line break. Remove it"
            )
        text += f"--{name}={value}\n"
    return text


def parse_settings(text: str) -> dict[str, str]:
    """Return the values by name in a flagfile that `flagfile_text` wrote.

    They include the facts in `COMMENTS`.
    """
    settings = {}
    for line in text.split("\n"):
        if line.startswith("--"):
            name, _, value = line[2:].partition("=")
            settings[name] = value
        for comment, name in COMMENTS.items():
            if line.startswith(comment):
                settings[name] = line.removeprefix(comment)
    return settings


def preset_from_settings(settings: dict[str, str], path: str | Path) -> Preset:
    """Return the preset that the settings of a run directory's flagfile describe.

    An older version may have written the file: missing optional fields get their
    default.

    Args:
        settings: the settings.
        path: path of the flagfile, for errors.

    Raises:
        UserError: if a required field is missing, a value is invalid, or an attention
            would import code, see `check_trusted`.
    """
    if missing := [name for name in REQUIRED if name not in settings]:
        raise UserError(f"{path}: {missing[0]} is missing")
    _check_attentions(settings, path)
    known = [name for name in FIELDS if name in settings]
    return Preset(**{name: parse_field(name, settings[name]) for name in known})


def _check_attentions(settings: Mapping[str, str], path: str | Path) -> None:
    try:
        for name in {"g_attention", "d_attention"} & settings.keys():
            check_trusted(settings[name])
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def _define_flag(
    field: dataclasses.Field, default: Any, flag_values: flags.FlagValues
) -> None:
    doc, choices = field.metadata["doc"], field.metadata.get("choices")
    if field.type is bool:
        flags.DEFINE_boolean(field.name, default, doc, flag_values=flag_values)
    elif choices:
        flags.DEFINE_enum(field.name, default, choices, doc, flag_values=flag_values)
    else:
        flags.DEFINE(_FieldParser(field), field.name, default, doc, flag_values)


class _FieldParser(flags.ArgumentParser):
    """Parser of one field. absl adds the name of the flag to its errors."""

    def __init__(self, field: dataclasses.Field):
        self._field = field

    def parse(self, argument: Any) -> Any:
        """Convert text to the type of the field, or raise a ValueError."""
        value = self._convert(argument) if isinstance(argument, str) else argument
        if error := setting_error(self._field, value):
            raise ValueError(error)
        return value

    def _convert(self, text: str) -> Any:
        kind: Any = self._field.type
        if kind is str:
            return text
        if kind is bool:
            if text.lower() not in ("true", "false"):
                raise ValueError("expected true or false")
            return text.lower() == "true"
        convert = float if float in (kind, *typing.get_args(kind)) else _integer
        try:
            if not typing.get_args(kind):
                return convert(text)
            return tuple(convert(part) for part in text.split(",") if part.strip())
        except ValueError:
            names = {int: "an integer", float: "a number"}
            expected = names.get(kind, "numbers separated by commas")
            raise ValueError(f"expected {expected}") from None


def _integer(text: str) -> int:
    """Convert text such as 1000000, 1_000_000 or 1e6."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise
        return int(number)
