"""Train and score the rows of the paper's tables, and write a report.

    python -m experiments.run --list
    python -m experiments.run --scale=smoke --output=runs/smoke
    python -m experiments.run --row=table1 --output=runs/paper --inception_graph=g.pb

Run it again with the same `--output` to resume: a run continues from its last
checkpoint, and scored runs are skipped.

`--scale=smoke` tests that the commands run, with small networks and three steps on the
portraits in the package. Its figures mean nothing. All rows take half an hour on 2 CPU
cores.
"""

from lada_tf import app  # first: it imports TensorFlow without its log lines

# isort: split
import json
import subprocess
import sys
from pathlib import Path

from absl import flags

from experiments.report import report
from experiments.rows import Row, all_rows, rows_named
from lada_tf.data import open_source
from lada_tf.errors import UserError
from lada_tf.evaluation.extract_features import open_extractor
from lada_tf.evaluation.protocols import PROTOCOLS
from lada_tf.io import write_atomically
from lada_tf.models import Preset

FLAGS = flags.FLAGS

SMOKE_STEPS = 3
SMOKE_BATCH_SIZE = 4
SMOKE_SHRINK = 16  # A width of 1024 becomes 64.
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
    """Return `--data` as a dict from presets to sources."""
    pairs = [value.partition("=") for value in FLAGS.data]
    for preset, _, source in pairs:
        if not source:
            raise UserError(
                f"--data={preset}: write PRESET=SOURCE, such as ffhq128=photos/"
            )
    return {preset: source for preset, _, source in pairs}


def _check_inputs(rows: list[Row], sources: dict[str, str]) -> None:
    """Raise UserError if data or the feature extractor is missing."""
    open_extractor(FLAGS.features, FLAGS.inception_graph, None)
    for preset, data in {row.preset_name: _data(row, sources) for row in rows}.items():
        if not data:
            raise UserError(f"no data for preset={preset}: add --data={preset}=SOURCE")
        open_source(data, 32)


def _data(row: Row, sources: dict[str, str]) -> str:
    return sources.get(row.preset_name, row.preset().data)


def _train(row: Row, output: Path, sources: dict[str, str]) -> None:
    """Train a row, or resume it. A trained row returns at once."""
    if FLAGS.scale == "smoke":
        changes = smoke_flags(row.preset())
    else:
        # `train` ignores the preset's resize if --data is set.
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


def smoke_flags(preset: Preset) -> dict[str, str]:
    """Return flags that shrink a preset: same layers and image size, small widths."""

    def widths(values, minimum):
        return ",".join(str(max(minimum, value // SMOKE_SHRINK)) for value in values)

    changes = {
        "data": "portraits",
        "resize": "pad",
        "batch_size": str(SMOKE_BATCH_SIZE),
        "total_images": str(SMOKE_STEPS * SMOKE_BATCH_SIZE),
        "g_widths": widths(preset.g_widths, 4),  # the presets have 4 heads
        "g_mlp_dim": "16",
        "d_widths": widths(preset.d_widths, 4),
        "d_out_widths": widths(preset.d_out_widths, 4),
        "d_mlp_dim": "16",
    }
    if preset.decoder_widths:
        changes["decoder_widths"] = widths(preset.decoder_widths, 2)
    return changes


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
        raise UserError(
            f"lada-tf {command} failed for run_dir={options['run_dir']}; its error is "
            "above. Correct it and run this command again to resume"
        )
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
    flags.DEFINE_string("features", "inception", "As in `lada-tf evaluate`.")
    flags.DEFINE_string("inception_graph", None, "As in `lada-tf evaluate`.")
    app.run(main)
