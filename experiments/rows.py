"""The rows of the paper's tables: one flagfile each, with its comments as data.

A flagfile of a row opens with comments: a title; the command; what it costs in the
paper; and what the paper reports, as `Expected on PROTOCOL: FID 3.29, IS 9.66.`
"""

import dataclasses
import re
from pathlib import Path

from absl import flags

from lada_tf.errors import UserError
from lada_tf.models import Preset
from lada_tf.training.configuration import define_preset_flags, preset_from_flags

FOLDER = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        name: path of its flagfile below `experiments/`, without `.cfg`.
        title: its first comment.
        expected: for each protocol, the metrics that the paper reports.
        g_cost: the generator's multiply-adds in the paper, cut to one decimal.
        d_cost: the discriminator's.
    """

    name: str
    title: str
    expected: dict[str, dict[str, float]]
    g_cost: str | None
    d_cost: str | None

    @property
    def flagfile(self) -> Path:
        return FOLDER / f"{self.name}.cfg"

    def preset(self) -> Preset:
        """The configuration that the flagfile stands for."""
        values = flags.FlagValues()
        define_preset_flags(values)
        lines = self.flagfile.read_text().splitlines()
        values(["flagfile", *(line for line in lines if line.startswith("--"))])
        return preset_from_flags(values)


def all_rows() -> list[Row]:
    """Every row, in the order of the tables."""
    flagfiles = [*sorted(FOLDER.glob("table*/*.cfg")), *sorted(FOLDER.glob("*.cfg"))]
    return [row for row in map(_read, flagfiles) if row.expected]


def rows_named(names: list[str]) -> list[Row]:
    """Those of these names; a folder's name stands for all rows in it.

    Raises:
        UserError: if there is no such row.
    """
    rows = all_rows()
    for name in names:
        if not any(row.name == name or row.name.startswith(f"{name}/") for row in rows):
            raise UserError(f"--row={name}: no such row; --list shows them")
    return [
        row
        for row in rows
        if any(row.name == name or row.name.startswith(f"{name}/") for name in names)
    ]


def _read(flagfile: Path) -> Row:
    text = flagfile.read_text()
    title = text.split("\n#\n")[0].removeprefix("# ").replace("\n# ", " ")

    def cost(player):
        found = re.search(rf"# {player}: (\S+) multiply-adds in the paper", text)
        return found and found[1]

    return Row(
        name=str(flagfile.relative_to(FOLDER).with_suffix("")),
        title=title.rstrip("."),
        expected={
            protocol: {
                metric: float(value)
                for metric, value in re.findall(r"(\w+) (\d+\.\d+)", figures)
            }
            for protocol, figures in re.findall(r"# Expected on (\w+): (.*)", text)
        },
        g_cost=cost("Generator"),
        d_cost=cost("Discriminator"),
    )
