"""The rows of the paper's tables: one flagfile each, and the paper's figures.

The figures are in `paper.json`. Each row has the multiply-adds of both networks,
truncated to one decimal, and the metrics of each evaluation protocol.
"""

import dataclasses
import json
from pathlib import Path

from absl import flags

from lada_tf.errors import UserError
from lada_tf.models import Preset
from lada_tf.training.configuration import define_preset_flags, preset_from_flags

EXPERIMENTS = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        name: path of the flagfile in `experiments/`, without `.cfg`.
        metrics: per evaluation protocol, the metrics in the paper.
        multiply_adds: per network, `generator` or `discriminator`, the multiply-adds
            per image in the paper, such as `"0.7B"`.
    """

    name: str
    metrics: dict[str, dict[str, float]]
    multiply_adds: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def flagfile(self) -> Path:
        return EXPERIMENTS / f"{self.name}.cfg"

    @property
    def title(self) -> str:
        """The flagfile's first comment, up to an empty comment line."""
        comment, _, _ = self.flagfile.read_text(encoding="utf-8").partition("\n#\n")
        return comment.removeprefix("# ").replace("\n# ", " ").rstrip(".")

    @property
    def preset_name(self) -> str:
        return self._flag_values()["preset"].value

    def preset(self) -> Preset:
        """Return the configuration of the flagfile."""
        return preset_from_flags(self._flag_values())

    def _flag_values(self) -> flags.FlagValues:
        values = flags.FlagValues()
        define_preset_flags(values)
        lines = self.flagfile.read_text(encoding="utf-8").splitlines()
        values(["flagfile", *(line for line in lines if line.startswith("--"))])
        return values


def all_rows() -> list[Row]:
    """Return every row, in the order of the tables."""
    paper = json.loads((EXPERIMENTS / "paper.json").read_text(encoding="utf-8"))
    return [Row(name, **figures) for name, figures in paper.items()]


def rows_named(names: list[str]) -> list[Row]:
    """Return the rows with these names. A directory's name selects all rows in it.

    Raises:
        UserError: if a name selects no row.
    """

    def matches(row, name):
        return row.name == name or row.name.startswith(f"{name}/")

    rows = all_rows()
    for name in names:
        if not any(matches(row, name) for row in rows):
            raise UserError(
                f"--row={name}: no such row. "
                "`python -m experiments.run --list` prints all names"
            )
    return [row for row in rows if any(matches(row, name) for name in names)]
