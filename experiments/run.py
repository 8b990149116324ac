"""Trains and scores the rows of the paper's tables, and writes a report.

    python -m experiments.run --list
    python -m experiments.run --scale=smoke --output=runs/smoke
    python -m experiments.run --row=table1 --output=runs/paper --inception_graph=g.pb

Started again on the same output, it goes on where it was: a run from its last
checkpoint, and what is scored is not scored again. `--scale=smoke` runs the same
commands on tiny networks and the embedded portraits: it proves that they run, its
figures mean nothing. All of it takes half an hour on 2 CPU cores.
"""

import json
import subprocess
import sys
from pathlib import Path

from absl import flags

from experiments.report import report
from experiments.rows import Row, all_rows, rows_named
from experiments.smoke import smoke_flags
from lada_tf import app
from lada_tf.data import open_source
from lada_tf.errors import UserError
from lada_tf.evaluation.extract_features import open_extractor
from lada_tf.evaluation.protocols import PROTOCOLS
from lada_tf.io import write_atomically

FLAGS = flags.FLAGS

SMOKE_SCORE = {
    "real": "portraits",
    "resize": "pad",
    "num_generated": "64",
    "num_real": "64",
    "features": "small_classifier",
}


def main() -> None:
    rows = rows_named(FLAGS.row) if FLAGS.row else all_rows()
    if FLAGS.list:
        for row in rows:
            print(f"{row.name:<34}{row.title}")
        return
    sources = _sources()
    if FLAGS.scale == "paper":
        _check_inputs(rows, sources)
    output = Path(FLAGS.output)
    for i, row in enumerate(rows):
        print(f"[{i + 1}/{len(rows)}] {row.name}", flush=True)
        _train(row, output, sources)
        for protocol in row.expected:
            _score(row, protocol, output, sources)
        text = report(rows, output, smoke=FLAGS.scale == "smoke")
        write_atomically(output / "report.md", text)
    print(f"report: {output / 'report.md'}")


def _sources() -> dict[str, str]:
    """`--data` as a dict from presets to sources."""
    pairs = [value.partition("=") for value in FLAGS.data]
    for preset, _, source in pairs:
        if not source:
            raise UserError(f"--data={preset}: write PRESET=SOURCE, ffhq128=my/folder")
    return {preset: source for preset, _, source in pairs}


def _check_inputs(rows: list[Row], sources: dict[str, str]) -> None:
    """Everything that a row needs and that may be missing, before anything runs."""
    open_extractor(FLAGS.features, FLAGS.inception_graph, None)
    for data in {_data(row, sources) or f"nothing for {row.name}" for row in rows}:
        if data.startswith("nothing for"):
            raise UserError(f"no data: {data.removeprefix('nothing ')}: give --data")
        open_source(data, 32)


def _data(row: Row, sources: dict[str, str]) -> str:
    preset = row.preset()
    name = next(
        line.removeprefix("--preset=")
        for line in row.flagfile.read_text().splitlines()
        if line.startswith("--preset=")
    )
    return sources.get(name, preset.data)


def _train(row: Row, output: Path, sources: dict[str, str]) -> None:
    """Trains a row, or goes on with it, or finds that it is trained."""
    if FLAGS.scale == "smoke":
        changes = smoke_flags(row.preset())
    else:
        changes = {"data": _data(row, sources)}
    _call(
        "train",
        {
            "flagfile": str(row.flagfile),
            "run_dir": str(output / row.name),
            "seed": str(FLAGS.seed),
            **changes,
        },
    )


def _score(row: Row, protocol: str, output: Path, sources: dict[str, str]) -> None:
    """Scores a trained row by a protocol, unless that is done."""
    folder = output / row.name
    scores = folder / f"{protocol}.json"
    if scores.exists():
        return
    if FLAGS.scale == "smoke":
        options = SMOKE_SCORE
    else:
        options = {"protocol": protocol, "features": FLAGS.features}
        if FLAGS.inception_graph:
            options["inception_graph"] = FLAGS.inception_graph
        if not PROTOCOLS[protocol].source:
            options["real"] = _data(row, sources)
    line = _call("evaluate", {"run_dir": str(folder), **options}, capture=True)
    write_atomically(scores, json.dumps(json.loads(line), indent=1))


def _call(command: str, options: dict[str, str], capture: bool = False) -> str:
    """Runs a command of lada_tf; what it printed, if captured."""
    result = subprocess.run(
        [sys.executable, "-m", f"lada_tf.{command}"]
        + [f"--{name}={value}" for name, value in options.items()],
        stdout=subprocess.PIPE if capture else None,
        text=True,
    )
    if result.returncode:
        raise UserError(f"lada_tf.{command} failed: {options['run_dir']}")
    return result.stdout


if __name__ == "__main__":
    flags.DEFINE_boolean("list", False, "Show the rows, and do nothing.")
    flags.DEFINE_multi_string("row", None, "Rows or their folders; by default all.")
    flags.DEFINE_enum("scale", "paper", ["paper", "smoke"], "Size of what runs.")
    flags.DEFINE_string("output", "runs/paper", "Folder of run folders and the report.")
    flags.DEFINE_multi_string(
        "data", [], "PRESET=SOURCE: where a preset's images are, if not in TFDS."
    )
    flags.DEFINE_integer("seed", 0, "Seed of the runs.", lower_bound=0)
    flags.DEFINE_string("features", "inception", "As of lada_tf.evaluate.")
    flags.DEFINE_string("inception_graph", None, "As of lada_tf.evaluate.")
    app.run(main)
