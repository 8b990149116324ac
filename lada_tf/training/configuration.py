"""A configuration as text: `Preset` to and from flags and flagfiles."""

import dataclasses
import math
import typing
from pathlib import Path

from absl import flags

from lada_tf.errors import UserError
from lada_tf.models.presets import PRESETS, Preset

FIELDS = {field.name: field for field in dataclasses.fields(Preset)}
REQUIRED = [
    name for name, field in FIELDS.items() if field.default is dataclasses.MISSING
]
TYPES = typing.get_type_hints(Preset)
DATA_COMMENT = "# data: "


def define_preset_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines `--preset` and one flag for each field of `Preset`."""
    flags.DEFINE_enum(
        "preset",
        None,
        list(PRESETS),
        "Configuration to start from; the flags below replace parts of it.",
        flag_values=flag_values,
    )
    for name, field in FIELDS.items():
        flags.DEFINE_string(name, None, field.metadata["doc"], flag_values=flag_values)


def preset_from_flags(values: flags.FlagValues) -> Preset:
    """The preset that the flags name, with the fields that other flags replace.

    Raises:
        UserError: if a value cannot be read, or a field has none.
    """
    given = {
        name: parse_field(name, str(values[name].value))
        for name in FIELDS
        if values[name].value is not None
    }
    if values.preset:
        return dataclasses.replace(PRESETS[values.preset], **given)
    missing = [name for name in REQUIRED if name not in given]
    if missing:
        raise UserError(
            f"give --preset ({', '.join(PRESETS)}), or else --{' --'.join(missing)}"
        )
    return Preset(**given)


def parse_field(name: str, text: str):
    """The value that a flag's text stands for, in the type of the field."""
    kind = TYPES[name]
    try:
        if kind is str:
            return text
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind in (int, float):
            value = kind(text.replace("_", ""))
        else:
            element = typing.get_args(kind)[0]
            value = tuple(element(part) for part in text.split(",") if part.strip())
    except (KeyError, ValueError):
        kinds = {bool: "true or false", int: "an integer", float: "a number"}
        expected = kinds.get(kind, "numbers, separated by commas")
        raise UserError(f"--{name}={text}: expected {expected}") from None
    for part in value if isinstance(value, tuple) else (value,):
        least = 0 if isinstance(part, float) else 1
        if not least <= part < math.inf:  # nan is not, either
            raise UserError(f"--{name}={text}: has to be at least {least}, and finite")
    return value


def format_field(value) -> str:
    """The text of a flag that `parse_field` reads back as `value`."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def flagfile_text(settings: dict) -> str:
    """One `--name=value` a line."""
    return "".join(f"--{name}={format_field(v)}\n" for name, v in settings.items())


def parse_settings(text: str) -> dict[str, str]:
    """The settings of a flat flagfile, as written by `flagfile_text`.

    The comment `# data: …` counts as the setting `data fingerprint`: it is no flag.
    """
    settings = {}
    for line in text.splitlines():
        if line.startswith("--"):
            name, _, value = line[2:].partition("=")
            settings[name] = value
        elif line.startswith(DATA_COMMENT):
            settings["data fingerprint"] = line.removeprefix(DATA_COMMENT)
    return settings


def preset_from_settings(settings: dict[str, str], path: Path) -> Preset:
    """The preset whose fields a run folder's flagfile holds.

    A field that an older version did not know yet has its default.
    """
    for name in REQUIRED:
        if name not in settings:
            raise UserError(f"{path}: lacks --{name}")
    known = [name for name in FIELDS if name in settings]
    return Preset(**{name: parse_field(name, settings[name]) for name in known})
