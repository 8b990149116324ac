"""Score a trained generator, or images of any origin, against real images.

    lada-tf evaluate --model=runs/c10 --protocol=cifar10_50k
    lada-tf evaluate --images=samples.npz --real=photos/ --num_generated=10000
    lada-tf evaluate --model=runs/demo --real=portraits \\
        --num_generated=1000 --features=small_classifier
    lada-tf evaluate --model=runs/demo --num_generated=1000 \\
        --features=small_classifier --all_checkpoints --plot=curve.png

The default features need a file that you download once. The small classifier is part of
the package. The command prints one JSON line on stdout, and a table on stderr. With
--protocol, the table has the paper's values, too. With --all_checkpoints, the command
prints one line per checkpoint. A run's real images are by default its training data,
resized in the same way.
"""

import dataclasses
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import flags

from lada_tf import app
from lada_tf.data import ImageSource, open_source
from lada_tf.data.loading import ON_BAD_IMAGE
from lada_tf.data.opening import naming_argument
from lada_tf.data.resize import RESIZES
from lada_tf.errors import UserError
from lada_tf.evaluation.extract_features import open_extractor
from lada_tf.evaluation.image_sets import ImageSet, generated_images, stored_images
from lada_tf.evaluation.memorization_report import MemorizationTest
from lada_tf.evaluation.metrics import evaluate_each
from lada_tf.evaluation.protocols import PROTOCOLS, choose_protocol
from lada_tf.evaluation.reference import is_reference
from lada_tf.evaluation.reporting import (
    figure_class,
    format_record,
    plot_records,
)
from lada_tf.io import check_output
from lada_tf.models.latents import MAX_SEED
from lada_tf.runtime import without_tf32
from lada_tf.serving.loading import load_generator
from lada_tf.training import load_run
from lada_tf.training.load import Run, find_run, load_each_generator
from lada_tf.training.run_directory import RunDirectory

app.DEFINE_source("Score this generator")
flags.DEFINE_boolean("all_checkpoints", False, "Score every checkpoint of the run.")
app.DEFINE_path(
    "images",
    None,
    "Score these images instead of those of a model: a directory, .zip, .npz or .npy.",
)
flags.DEFINE_integer(
    "num_generated",
    None,
    "Score this many images. A model needs this flag or --protocol; 50000 is usual. "
    "The default is all of --images.",
    2,
)
flags.DEFINE_integer("seed", 0, "Draw the latents from this seed.", 0, MAX_SEED)
flags.DEFINE_integer("batch_size", 64, "Process this many images at once.", 1)
app.DEFINE_path(
    "real",
    None,
    "Compare with these images: a source as for --data of train, or an ADM .npz of "
    "statistics. The default is the data of the run.",
)
flags.DEFINE_integer(
    "num_real", None, "Use this many random real images. The default is all.", 2
)
flags.DEFINE_enum(
    "protocol",
    None,
    sorted(PROTOCOLS),
    "Repeat this evaluation of the paper, with its data and numbers of images.",
)
flags.DEFINE_enum(
    "resize",
    None,
    list(RESIZES),
    "Resize real images in this way. The default is the resize of the run.",
)
flags.DEFINE_enum(
    "on_bad_image", "error", ON_BAD_IMAGE, "Stop at damaged images, or skip them."
)
flags.DEFINE_integer(
    "memory_limit_mb",
    4096,
    "Keep up to N MiB of images in memory. Store larger data in --cache_dir.",
    0,
)
app.DEFINE_path(
    "cache_dir",
    None,
    "Cache data and statistics in this directory. The default is ~/.cache/lada_tf.",
)
flags.DEFINE_boolean("download", False, "Let TFDS download a missing dataset.")
app.DEFINE_path(
    "features",
    "inception",
    "Extract these features: inception (FID), keras_inception_v3, small_classifier "
    "(part of the package), or those of a .keras or .onnx file or SavedModel.",
)
flags.DEFINE_string(
    "features_input",
    None,
    "Feed an .onnx file with some of these settings: 'layout=nchw size=224 range=0,1 "
    "mean=0.485,0.456,0.406 std=0.229,0.224,0.225 output=NAME'. The default is the "
    "metadata of the file.",
)
app.DEFINE_path(
    "inception_graph",
    None,
    "Read the 2015 Inception graph from this path. The default is "
    "classify_image_graph_def.pb in ~/.cache/lada_tf.",
)
flags.DEFINE_string(
    "inception_sha256", None, "Accept an Inception graph with this SHA-256."
)
flags.DEFINE_integer(
    "splits", 10, "Also compute the Inception score as a mean over N equal parts.", 1
)
flags.DEFINE_integer(
    "repeats", 1, "Score N seeds, and report means and standard deviations.", 1
)
flags.DEFINE_integer(
    "resamples",
    None,
    "With one seed, estimate the spread of each metric from N random halves of the "
    "images. The default is 10 for up to 10,000 images, and 0 for more.",
    0,
)
flags.DEFINE_enum(
    "precision_recall",
    "float64",
    ["float64", "adm_float16"],
    "Compute precision and recall in float64, or in float16 as ADM does.",
)
flags.DEFINE_boolean(
    "memorization",
    False,
    "Report copies of training images too: those of the run, or of --real.",
)
app.DEFINE_path(
    "held_out",
    None,
    "For --memorization, compare with these images, which training did not see.",
)
app.DEFINE_path(
    "memorization_picture",
    None,
    "Draw the closest pairs to this .png, and list all images in a .csv next to it. "
    "The default is memorization.png, which is replaced.",
)
app.DEFINE_path(
    "plot", None, "Plot the metrics of --all_checkpoints over the images seen, as .png."
)
app.DEFINE_path(
    "export_reference", None, "Write the statistics of the real images to this .npz."
)
flags.DEFINE_boolean(
    "overwrite",
    False,
    "Replace an existing --export_reference, --plot or --memorization_picture.",
)
FLAGS = flags.FLAGS

TOPICS = {
    "Common flags": "model images real protocol num_generated features",
    "Images to score": "best all_checkpoints seed run_dir safe_mode",
    "Real images": "num_real resize on_bad_image download",
    "Features": "features_input inception_graph inception_sha256",
    "Metrics": "repeats resamples splits precision_recall",
    "Copies of training images": "memorization held_out memorization_picture",
    "Files": "plot export_reference overwrite cache_dir",
    "Memory": "batch_size memory_limit_mb",
}
OUTPUTS = {"plot": ".png", "memorization_picture": ".png", "export_reference": ".npz"}


@without_tf32()
def main() -> None:
    start = time.time()
    _check_flags()
    source = None if FLAGS.images else app.get_source()
    run = find_run(source) if source else None
    if run:
        _read_settings_of_run(run.path)
    protocol = choose_protocol(
        FLAGS.protocol, FLAGS.real, FLAGS.num_generated, FLAGS.num_real, FLAGS.resize
    )
    source_options = {
        "on_bad_image": FLAGS.on_bad_image,
        "memory_limit": FLAGS.memory_limit_mb * 2**20,
        "download": FLAGS.download,
    }
    extractor = open_extractor(
        FLAGS.features,
        FLAGS.inception_graph,
        FLAGS.inception_sha256,
        FLAGS.features_input,
    )
    test = None
    if FLAGS.all_checkpoints:
        image_sets = _open_checkpoints(run)
    else:
        images = _open_images(source, run, source_options)
        image_sets = iter([images])
        if _tests_memorization():
            training, held_out = _open_training_images(
                images.image_size, run, protocol.resize, source_options
            )
            picture = FLAGS.memorization_picture or "memorization.png"
            test = MemorizationTest(training, held_out, picture, FLAGS.batch_size)
    records = []
    for record in evaluate_each(
        image_sets,
        protocol,
        extractor,
        splits=FLAGS.splits,
        arithmetic=FLAGS.precision_recall,
        batch_size=FLAGS.batch_size,
        cache_dir=FLAGS.cache_dir,
        export_reference=FLAGS.export_reference,
        repeats=FLAGS.repeats,
        resamples=FLAGS.resamples,
        memorization=test,
        **source_options,
    ):
        record["seconds"] = round(time.time() - start, 1)
        start = time.time()
        print(format_record(record, protocol.paper), file=sys.stderr)
        print(json.dumps(record), flush=True)
        records.append(record)
    if FLAGS.plot:
        plot_records(records, FLAGS.plot)
    written = [FLAGS.export_reference, FLAGS.plot, *(test.files if test else ())]
    for path in filter(None, written):
        print(f"wrote {path}", file=sys.stderr)


def _check_flags() -> None:
    """Find mistakes before the work starts."""
    for name, ending in OUTPUTS.items():
        if path := FLAGS[name].value:
            check_output(name, path, (ending,), FLAGS.overwrite)
    if FLAGS.images and (FLAGS.model or FLAGS.run_dir):
        raise UserError("--images and --model are mutually exclusive. Set one of them")
    if FLAGS.plot:
        if not FLAGS.all_checkpoints:
            raise UserError(
                "--plot needs --all_checkpoints. Set it, or leave out --plot"
            )
        figure_class()  # raises if it is missing
    if FLAGS.all_checkpoints and _tests_memorization():
        raise UserError("--memorization tests one model: leave out --all_checkpoints")


def _tests_memorization() -> bool:
    return bool(FLAGS.memorization or FLAGS.held_out or FLAGS.memorization_picture)


def _open_images(source: str | None, run: Run | None, source_options: dict) -> ImageSet:
    """Open the images of a model or, without a source, those of --images."""
    if source is None:
        return stored_images(
            FLAGS.images,
            FLAGS.batch_size,
            cache_dir=FLAGS.cache_dir,
            **source_options,
        )
    origin: dict[str, Any]
    if run:
        gan = load_run(*run)
        generator: Any = gan.ema_generator
        origin = {"run_dir": str(run.path), "images_seen": int(gan.images_seen)}
    else:
        generator, origin = load_generator(source), {"model": source}
    images = generated_images(generator, FLAGS.seed, FLAGS.batch_size)
    return dataclasses.replace(images, origin=origin | images.origin)


def _open_checkpoints(run: Run | None) -> Iterator[ImageSet]:
    """Yield the images of each whole checkpoint of the run, the oldest first."""
    if not run or run.best:
        raise UserError(
            "--all_checkpoints needs a run. Set --model=RUN, and leave out --best, "
            ":best and --images"
        )
    images = None
    for checkpoint, images_seen, generator in load_each_generator(run.path):
        images = images or generated_images(generator, FLAGS.seed, FLAGS.batch_size)
        origin = {
            "run_dir": str(run.path),
            "checkpoint": checkpoint,
            "images_seen": images_seen,
        }
        yield dataclasses.replace(images, origin=origin | images.origin)


def _open_training_images(
    image_size: int, run: Run | None, resize: str | None, source_options: dict
) -> tuple[ImageSource, ImageSource | None]:
    """Open the images that the generator was trained on, and --held_out."""
    name, data = "real", FLAGS.real
    options = source_options | {"cache_dir": FLAGS.cache_dir}
    subset = 1.0
    if run:  # a protocol's real images can be others
        preset = RunDirectory(run.path).read_preset()
        name, data, subset = "data", preset.data, preset.subset
        resize = preset.resize or None
        _check_data_of_run(run.path, data)
    if not data or is_reference(data):
        raise UserError(
            "memorization needs the training images. Set real=SOURCE to their "
            "directory or file, not to statistics"
        )
    with naming_argument(name):
        training = open_source(
            data, image_size, resize=resize, subset=subset, **options
        )
    if not FLAGS.held_out:
        return training, None
    with naming_argument("held_out"):
        return training, open_source(
            FLAGS.held_out, image_size, resize=resize, **options
        )


def _check_data_of_run(run_dir: Path, data: str) -> None:
    """Refuse data that can run code, because the run can be somebody else's."""
    if data.startswith("tfds:") and FLAGS.safe_mode:
        raise UserError(
            f"{run_dir}: its data={data} can run code. If you trust it, set "
            "safe_mode=false"
        )


def _read_settings_of_run(run_dir: Path) -> None:
    """Make the settings by which the run read its data the defaults of the flags."""
    run = RunDirectory(run_dir)
    run.read_preset()  # raises if it is damaged
    stored = run.settings()
    settings = {"on_bad_image": stored.get("on_bad_image", "")}
    if FLAGS.protocol is None:  # a protocol fixes these
        # Runs of earlier versions name the resize in the fingerprint only.
        resize = re.search(r":\d+px:(\w+):", stored.get("data fingerprint", ""))
        settings["resize"] = resize[1] if resize else stored.get("resize", "")
        settings["real"] = stored.get("data", "")
        if not FLAGS.real:
            _check_data_of_run(run_dir, settings["real"])
    for name, value in settings.items():
        if value:
            FLAGS.set_default(name, value)


if __name__ == "__main__":
    app.run(main, TOPICS)
