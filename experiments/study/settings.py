"""Read the flagfiles of the study."""

from pathlib import Path

from lada_tf.models import Preset
from lada_tf.models.presets import get_preset
from lada_tf.training.configuration import FIELDS, parse_field

HERE = Path(__file__).parent


def variant_settings(name: str) -> dict[str, str]:
    """Return the flags of a variant by name, including the shared ones."""
    return _read("common") | _read(name)


def variant_preset(name: str) -> Preset:
    """Return the configuration of a variant."""
    settings = variant_settings(name)
    changes = {k: parse_field(k, v) for k, v in settings.items() if k in FIELDS}
    return get_preset(settings["preset"], **changes)


def _read(name: str) -> dict[str, str]:
    lines = (HERE / f"{name}.cfg").read_text(encoding="utf-8").splitlines()
    pairs = (line[2:].partition("=") for line in lines if line.startswith("--"))
    return {flag: value for flag, _, value in pairs}
