"""Export a trained generator, to serve it or to run it elsewhere.

lada-tf export --model=runs/c10 --output=models/c10/1
lada-tf export --model=runs/c10 --format=onnx --precision=float16 \\
    --output=c10.onnx
lada-tf export --model=runs/c10 --format=web --output=c10-page
lada-tf export --model=runs/c10 --hub_layout --output=c10-hub

The command runs the exported model in its own runtime and compares the images with
those of Keras. If they agree, it writes --output and a model card.
"""

from pathlib import Path

from absl import flags

from lada_tf import app
from lada_tf.errors import UserError
from lada_tf.serving.exported import FORMATS, get_format
from lada_tf.serving.exporting import (
    check_export,
    export_for_hub,
    export_generator,
)
from lada_tf.serving.model_card import describe_model
from lada_tf.serving.saved_model import MAX_BATCH
from lada_tf.training.sources import load_source

app.DEFINE_source("Export the EMA generator of this model")
app.DEFINE_path(
    "output",
    None,
    "Write to this directory. With the formats keras, onnx and litert, this can also "
    "be a file that ends with .keras, .onnx or .tflite.",
    required=True,
)
flags.DEFINE_boolean("overwrite", False, "Replace an earlier export.")
flags.DEFINE_enum("format", "savedmodel", list(FORMATS), "Write this format.")
flags.DEFINE_enum(
    "precision",
    None,
    sorted({p for form in FORMATS.values() for p in form.precisions}),
    "Store the weights in this precision. Choices per format, the default first: "
    + "; ".join(f"{name}: {', '.join(f.precisions)}" for name, f in FORMATS.items())
    + ".",
)
flags.DEFINE_integer(
    "max_batch",
    MAX_BATCH,
    "Limit the number of images per request to a SavedModel.",
    1,
)
flags.DEFINE_boolean(
    "jit_compile",
    False,
    "Compile a SavedModel with XLA on the server. The first request for each number of "
    "images is slow, later small requests are faster. The server's TensorFlow needs "
    "XLA.",
)
app.DEFINE_path(
    "evaluation",
    None,
    "Add metrics to the model card from this file, which contains the JSON line that "
    "`lada-tf evaluate` prints on stdout.",
)
flags.DEFINE_string(
    "data_license", None, "Name this license of the training data in the model card."
)
flags.DEFINE_boolean(
    "hub_layout",
    False,
    "Write a directory for the Hugging Face Hub and LadaGAN.from_pretrained: both "
    "networks and the model card.",
)
FLAGS = flags.FLAGS

TOPICS = {
    "Common flags": "model output format precision overwrite",
    "Model card": "evaluation data_license",
    "SavedModel": "max_batch jit_compile",
    "Hugging Face Hub": "hub_layout",
    "Model": "best run_dir safe_mode",
}


def main() -> None:
    if FLAGS.hub_layout and (FLAGS["format"].present or FLAGS["precision"].present):
        raise UserError(
            "--hub_layout cannot be combined with --format or --precision. Leave "
            "them out"
        )
    for name in ("jit_compile", "max_batch"):
        is_default = FLAGS[name].value == FLAGS[name].default
        if not is_default and (FLAGS.hub_layout or FLAGS.format != "savedmodel"):
            raise UserError(f"--{name} requires --format=savedmodel. Leave it out")
    source = app.get_source()
    form, _ = get_format(FLAGS.format, FLAGS.precision)  # fail before the slow load
    form_written = None if FLAGS.hub_layout else form
    check_export("output", FLAGS.output, form_written, FLAGS.overwrite)
    gan = load_source(source)
    card = describe_model(gan, FLAGS.evaluation, FLAGS.data_license)
    if FLAGS.hub_layout:
        export_for_hub(gan, FLAGS.output, card, FLAGS.overwrite)
        note = ""
    else:
        comparison = export_generator(
            gan.ema_generator,
            FLAGS.output,
            FLAGS.format,
            FLAGS.precision,
            card,
            FLAGS.max_batch,
            FLAGS.jit_compile,
            FLAGS.overwrite,
        )
        note = f"; compared with Keras: {comparison}"
    path = Path(FLAGS.output)
    sizes = [f.stat().st_size for f in (path, *path.rglob("*")) if f.is_file()]
    print(f"{path}: {sum(sizes) / 1e6:.1f} MB{note}")


if __name__ == "__main__":
    app.run(main, TOPICS)
