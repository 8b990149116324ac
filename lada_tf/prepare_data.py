"""Makes sharded records of a data set at the training size, once.

    python -m lada_tf.prepare_data --source=ffhq/ --output=ffhq128 --image_size=128

Interrupted, the same command goes on where it was. Nothing is overwritten. Train on the
result with its folder as the data.
"""

from absl import flags

from lada_tf import app
from lada_tf.data.load import ON_BAD_IMAGE, BadImages
from lada_tf.data.prepare import prepare_records
from lada_tf.data.readers import open_reader
from lada_tf.data.records import verify
from lada_tf.data.resize import RESIZES, resize_for
from lada_tf.errors import UserError

SOURCE = flags.DEFINE_string(
    "source",
    None,
    "Where the images are: a folder, .zip, LMDB, IDX, .npy, .npz or tfds:NAME[:SPLIT].",
)
OUTPUT = flags.DEFINE_string("output", None, "Folder to make.")
IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", None, "Height and width in pixels.", lower_bound=1
)
RESIZE = flags.DEFINE_enum(
    "resize",
    None,
    list(RESIZES),
    "How images get that size. plain: the whole image, bilinear, as the paper's. lsun: "
    "box filter on the short side, centre crop. pad: black borders. By default plain "
    "(pad for fashion_mnist).",
)
ON_BAD = flags.DEFINE_enum(
    "on_bad_image", "error", ON_BAD_IMAGE, "What to do about an image that is damaged."
)
IMAGES_PER_SHARD = flags.DEFINE_integer(
    "images_per_shard", None, "By default as many as make 1 GiB.", lower_bound=1
)
DOWNLOAD = flags.DEFINE_bool("download", False, "Let TFDS download what is not there.")
VERIFY = flags.DEFINE_bool(
    "verify", False, "Only compare the shards in --output with their checksums."
)


def main() -> None:
    output = _given("output", OUTPUT.value)
    if VERIFY.value:
        print(f"{output}: {verify(output)} images, every checksum is right")
        return
    source = _given("source", SOURCE.value)
    size = _given("image_size", IMAGE_SIZE.value)
    reader = open_reader(source, download=DOWNLOAD.value)
    bad_images = BadImages(ON_BAD.value)
    manifest = prepare_records(
        reader,
        output,
        size,
        resize_for(source, RESIZE.value),
        bad_images,
        IMAGES_PER_SHARD.value,
    )
    print(
        f"{output}: {manifest['count']} images of {size}x{size} in "
        f"{len(manifest['shards'])} shards, {len(bad_images.met)} bad images left out"
    )


def _given(name: str, value):
    if value is None:
        raise UserError(f"--{name} is missing")
    return value


if __name__ == "__main__":
    app.run(main)
