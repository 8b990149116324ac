"""Train and score the rows of the paper's tables, and write a report.

    python -m experiments.run --list
    python -m experiments.run --scale=smoke --output=runs/smoke
    python -m experiments.run --row=table1 --output=runs/paper --inception_graph=g.pb

Run it again with the same `--output` to resume: a run continues from its last
checkpoint, and scored runs are skipped. `--scale=smoke` runs the same commands with
tiny networks on the embedded portraits. It proves that they run; its figures mean
nothing. All rows take half an hour on 2 CPU cores.
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
        for protocol in row.metrics:
            _score(row, protocol, output, sources)
        text = report(rows, output, smoke=FLAGS.scale == "smoke")
        write_atomically(output / "report.md", text)
    print(f"report: {output / 'report.md'}")


def _sources() -> dict[str, str]:
    """Return `--data` as a dict: preset -> source."""
    pairs = [value.partition("=") for value in FLAGS.data]
    for preset, _, source in pairs:
        if not source:
            raise UserError(
                f"--data={preset}: write PRESET=SOURCE, such as ffhq128=photos/"
            )
    return {preset: source for preset, _, source in pairs}


def _check_inputs(rows: list[Row], sources: dict[str, str]) -> None:
    """Raise UserError if data or the extractor is missing, before anything runs."""
    open_extractor(FLAGS.features, FLAGS.inception_graph, None)
    for data in {_data(row, sources) or f"nothing for {row.name}" for row in rows}:
        if data.startswith("nothing for"):
            raise UserError(f"no data: {data.removeprefix('nothing ')}: give --data")
        open_source(data, 32)


def _data(row: Row, sources: dict[str, str]) -> str:
    return sources.get(row.preset_name, row.preset().data)


def _train(row: Row, output: Path, sources: dict[str, str]) -> None:
    """Train a row, or resume it. A trained row returns at once."""
    if FLAGS.scale == "smoke":
        changes = smoke_flags(row.preset())
    else:
        # With --data, the preset's resize would not apply.
        changes = {"data": _data(row, sources), "resize": row.preset().resize}
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
    """Score a trained row by a protocol, unless the result exists."""
    run_dir = output / row.name
    scores = run_dir / f"{protocol}.json"
    if scores.exists():
        return
    if FLAGS.scale == "smoke":
        options = SMOKE_SCORE
    else:
        options = {"protocol": protocol, "features": FLAGS.features}
        if FLAGS.inception_graph:
            options["inception_graph"] = FLAGS.inception_graph
        if not PROTOCOLS[protocol].real:
            options["real"] = _data(row, sources)
    line = _call("evaluate", {"run_dir": str(run_dir), **options}, capture=True)
    write_atomically(scores, json.dumps(json.loads(line), indent=1))


def _call(command: str, options: dict[str, str], capture: bool = False) -> str:
    """Run a command of lada_tf. Return its stdout if `capture`."""
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
    flags.DEFINE_boolean("list", False, "List the rows and exit.")
    flags.DEFINE_multi_string("row", None, "Rows or directories of rows. Default: all.")
    flags.DEFINE_enum("scale", "paper", ["paper", "smoke"], "Full size or smoke test.")
    flags.DEFINE_string("output", "runs/paper", "Directory of the runs and the report.")
    flags.DEFINE_multi_string(
        "data", [], "PRESET=SOURCE: a preset's images, if not in TFDS."
    )
    flags.DEFINE_integer("seed", 0, "Seed of the runs.", lower_bound=0)
    flags.DEFINE_string("features", "inception", "See lada_tf.evaluate.")
    flags.DEFINE_string("inception_graph", None, "See lada_tf.evaluate.")
    app.run(main)
