"""Resize a dataset to the training size and write it to sharded records.

    lada-tf prepare_data --source=ffhq/ --output=ffhq128 --image_size=128

Run the same command again to resume. It never overwrites other files. To train on the
records, run `lada-tf train --data=ffhq128`.

    lada-tf prepare_data --source=ffhq/ --held_out=test/ --report

This command writes a report on the images: sizes, damaged images and duplicates.
Without --output, it writes nothing else.
"""

from absl import flags

from lada_tf import app
from lada_tf.data.loading import ON_BAD_IMAGE, BadImages
from lada_tf.data.opening import naming_argument, open_reader
from lada_tf.data.prepare import prepare_records
from lada_tf.data.readers import Reader
from lada_tf.data.records import verify
from lada_tf.data.resize import RESIZES
from lada_tf.errors import UserError
from lada_tf.evaluation.dataset_report import format_report, scan, write_report

app.DEFINE_path(
    "source",
    None,
    "Read these images: a directory, .zip, LMDB, IDX, .npy, .npz, portraits, "
    "fashion_mnist or tfds:NAME[:SPLIT].",
)
app.DEFINE_path("output", None, "Write records to this directory.")
flags.DEFINE_integer("image_size", None, "Resize images to this side, in pixels.", 1)
flags.DEFINE_enum(
    "resize",
    None,
    list(RESIZES),
    "Resize images in this way. center_crop: the central square, antialiased. plain: "
    "squashed to a square, bilinear, as in the paper. lsun: box filter, then a center "
    "crop. pad: black borders. unchanged: images must have --image_size. The default "
    "is pad for fashion_mnist, and center_crop for other data.",
)
flags.DEFINE_enum(
    "on_bad_image",
    "error",
    ON_BAD_IMAGE,
    "Stop at the first damaged image, or skip damaged images.",
)
flags.DEFINE_integer(
    "images_per_shard",
    None,
    "Write this many images per shard. The default makes shards of 1 GiB.",
    1,
)
flags.DEFINE_bool("download", False, "Let TFDS download a missing dataset.")
flags.DEFINE_bool(
    "verify", False, "Only compare the records in --output with their checksums."
)
flags.DEFINE_bool("report", False, "Write a report on the images to --report_dir.")
app.DEFINE_path(
    "report_dir",
    "report",
    "Write report.txt, report.json and report.png to this directory.",
)
app.DEFINE_path(
    "held_out",
    None,
    "With --report, also report which of these held-out images are in --source.",
)
FLAGS = flags.FLAGS

TOPICS = {
    "Common flags": "source output image_size resize on_bad_image download",
    "Records": "images_per_shard verify",
    "Report": "report report_dir held_out",
}


def main() -> None:
    only_report = FLAGS.report and not FLAGS.output
    required = ["output"] if FLAGS.verify else ["output", "source", "image_size"]
    if only_report:
        required = ["source"]
    for name in required:
        app.check_given(name, FLAGS[name].value)
    output, size = FLAGS.output, FLAGS.image_size
    if FLAGS.verify:
        print(f"{output}: {verify(output)} images, all checksums match")
        return
    bad_images = BadImages(FLAGS.on_bad_image)
    reader = _open("source", FLAGS.source)
    if FLAGS.held_out and not FLAGS.report:
        raise UserError("--held_out needs --report. Set both, or leave out --held_out")
    if FLAGS.report:
        held_out = scan(_open("held_out", FLAGS.held_out)) if FLAGS.held_out else None
        report = write_report(FLAGS.report_dir, scan(reader), held_out)
        print(format_report(report))
        print(f"wrote report.txt, report.json and report.png to {FLAGS.report_dir}")
    if only_report:
        return
    resize = FLAGS.resize or reader.default_resize
    manifest = prepare_records(
        reader, output, size, resize, bad_images, FLAGS.images_per_shard
    )
    bad_images.log_summary(len(reader))
    shards, skipped = len(manifest["shards"]), len(bad_images.skipped)
    print(
        f"{output}: {manifest['count']} images of {size}x{size}, {shards} shard(s), "
        f"{skipped} damaged images skipped"
    )


def _open(flag: str, data: str) -> Reader:
    with naming_argument(flag):
        return open_reader(data, download=FLAGS.download)


if __name__ == "__main__":
    app.run(main, TOPICS)
