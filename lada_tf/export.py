"""Exports a trained generator, to serve it or to run it elsewhere.

python -m lada_tf.export --run_dir=runs/c10 --output=models/c10/1
python -m lada_tf.export --run_dir=runs/c10 --format=onnx --precision=float16 \\
    --output=c10.onnx

python -m lada_tf.export --run_dir=runs/c10 --format=web --output=c10-page
python -m lada_tf.export --run_dir=runs/c10 --hub_layout --output=c10-hub

A SavedModel's folder is ready for TensorFlow Serving. What was written is loaded in
its own runtime and compared with Keras before it gets its name; a model card lies
beside it.
"""

from pathlib import Path

from absl import flags

from lada_tf import app
from lada_tf.errors import UserError
from lada_tf.serving.exporting import export_generator
from lada_tf.serving.formats import FORMATS, get_format
from lada_tf.serving.hub import export_for_hub
from lada_tf.serving.model_card import describe
from lada_tf.serving.saved_model import MAX_BATCH
from lada_tf.training import load_run

PRECISIONS = sorted({p for form in FORMATS.values() for p in form.precisions})

flags.DEFINE_string("run_dir", None, "Folder of the run.", required=True)
flags.DEFINE_boolean("best", False, "Take the best checkpoint, not the last one.")
flags.DEFINE_string("output", None, "A new folder, or a file.", required=True)
flags.DEFINE_enum("format", "savedmodel", list(FORMATS), "What to export as.")
flags.DEFINE_enum(
    "precision",
    None,
    PRECISIONS,
    "Of the stored weights; float32 by default. "
    + "; ".join(f"{name}: {', '.join(f.precisions)}" for name, f in FORMATS.items()),
)
flags.DEFINE_integer(
    "max_batch", MAX_BATCH, "Images a request to a SavedModel may ask for.", 1
)
flags.DEFINE_boolean(
    "jit_compile",
    False,
    "Have XLA compile a SavedModel where it is run, at the first request of each "
    "number of images: few at a time then take less time. The server needs XLA.",
)
flags.DEFINE_string("evaluation", None, "File with evaluate's JSON line, for the card.")
flags.DEFINE_string("data_license", None, "Licence of the data, for the model card.")
flags.DEFINE_boolean(
    "hub_layout",
    False,
    "Write a folder for Hugging Face's Hub instead: the card, and both networks for "
    "LadaGAN.from_pretrained.",
)
FLAGS = flags.FLAGS


def main() -> None:
    if FLAGS.hub_layout and (FLAGS["format"].present or FLAGS["precision"].present):
        raise UserError("--hub_layout has a format of its own: leave out the other")
    if FLAGS.jit_compile and (FLAGS.hub_layout or FLAGS.format != "savedmodel"):
        raise UserError("--jit_compile is for --format=savedmodel alone")
    get_format(FLAGS.format, FLAGS.precision)  # before the seconds that loading takes
    gan = load_run(FLAGS.run_dir, best=FLAGS.best)
    card = describe(FLAGS.run_dir, gan, FLAGS.evaluation, FLAGS.data_license)
    output = Path(FLAGS.output)
    if FLAGS.hub_layout:
        export_for_hub(gan, output, card)
        print(f"{output}: {_megabytes(output):.1f} MB")
        return
    comparison = export_generator(
        gan.ema_generator,
        output,
        FLAGS.format,
        FLAGS.precision,
        card,
        FLAGS.max_batch,
        FLAGS.jit_compile,
    )
    print(f"{output}: {_megabytes(output):.1f} MB; {comparison}")


def _megabytes(path: Path) -> float:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


if __name__ == "__main__":
    app.run(main)
