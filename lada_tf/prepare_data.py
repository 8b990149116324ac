"""Write a dataset to sharded records at the training size.

    python -m lada_tf.prepare_data --source=ffhq/ --output=ffhq128 --image_size=128

The same command resumes an interrupted run. It never overwrites other files. Train on
the records with --data=ffhq128.
"""

from absl import flags

from lada_tf import app
from lada_tf.data.loading import ON_BAD_IMAGE, BadImages
from lada_tf.data.opening import open_reader
from lada_tf.data.prepare import prepare_records
from lada_tf.data.records import verify
from lada_tf.data.resize import RESIZES, resize_name
from lada_tf.errors import UserError

SOURCE = flags.DEFINE_string(
    "source",
    None,
    "The images: a directory, .zip, LMDB, IDX, .npy, .npz, portraits, fashion_mnist or "
    "tfds:NAME[:SPLIT].",
)
OUTPUT = flags.DEFINE_string("output", None, "Directory of the records.")
IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", None, "Height and width in pixels.", lower_bound=1
)
RESIZE = flags.DEFINE_enum(
    "resize",
    None,
    list(RESIZES),
    "How to resize the images. plain: bilinear, not keeping the aspect ratio, as in "
    "the paper. lsun: box filter on the short side, center crop. pad: black borders. "
    "The default is pad for fashion_mnist, plain for other data.",
)
ON_BAD = flags.DEFINE_enum(
    "on_bad_image",
    "error",
    ON_BAD_IMAGE,
    "What to do about damaged images: stop at the first one, or skip them.",
)
IMAGES_PER_SHARD = flags.DEFINE_integer(
    "images_per_shard",
    None,
    "Images per shard. The default makes shards of 1 GiB.",
    lower_bound=1,
)
DOWNLOAD = flags.DEFINE_bool("download", False, "Let TFDS download the dataset.")
VERIFY = flags.DEFINE_bool(
    "verify", False, "Only compare the shards in --output with their checksums."
)


def main() -> None:
    output = _require(OUTPUT)
    if VERIFY.value:
        print(f"{output}: {verify(output)} images, all checksums match")
        return
    source, size = _require(SOURCE), _require(IMAGE_SIZE)
    bad_images = BadImages(ON_BAD.value)
    manifest = prepare_records(
        open_reader(source, download=DOWNLOAD.value),
        output,
        size,
        resize_name(source, RESIZE.value),
        bad_images,
        IMAGES_PER_SHARD.value,
    )
    shards, skipped = len(manifest["shards"]), len(bad_images.skipped)
    print(
        f"{output}: {manifest['count']} images of {size}x{size} in {shards} shards, "
        f"skipped {skipped} bad images"
    )


def _require(flag: flags.FlagHolder):
    if flag.value is None:
        raise UserError(f"--{flag.name} is missing")
    return flag.value


if __name__ == "__main__":
    app.run(main)
