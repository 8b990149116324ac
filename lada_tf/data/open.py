"""From the words of a flag to a source of images."""

import os

from lada_tf.data.arrays import is_numpy, read_numpy, read_portraits
from lada_tf.data.folder import FolderReader, ZipReader
from lada_tf.data.idx import is_idx, read_fashion_mnist, read_idx
from lada_tf.data.load import ON_BAD_IMAGE, BadImages, load_into_memory
from lada_tf.data.reader import Reader
from lada_tf.data.recipes import RECIPES
from lada_tf.data.source import ImageSource, MemorySource, fingerprint
from lada_tf.errors import UserError


def open_source(
    spec: str,
    image_size: int,
    *,
    recipe: str | None = None,
    on_bad_image: str = "error",
) -> ImageSource:
    """Opens a data set at a training size.

    All images are decoded here, once, so that a bad one shows before training does.

    Args:
        spec: "portraits" (997 emoji portraits inside the package, 32x32),
            "fashion_mnist" or "fashion_mnist:test", or the path of a folder of images,
            a `.zip` of images, an IDX file, a `.npy` or a `.npz`.
        image_size: height and width in pixels.
        recipe: how images get that size: "plain", "lsun" or "pad"; see
            `lada_tf.data.recipes`. By default "pad" for fashion_mnist, else "plain".
            None of them enlarges an image: asking for more pixels than there are is an
            error, the portraits included.
        on_bad_image: "error" or "skip" (with a report) for what cannot be read right.

    Returns:
        An `ImageSource`.

    Raises:
        UserError: one line that names the data and what would mend it.
    """
    if image_size < 1:
        raise UserError(f"image_size must be at least 1, not {image_size}")
    if on_bad_image not in ON_BAD_IMAGE:
        raise UserError(f"on_bad_image must be error or skip, not {on_bad_image!r}")
    recipe = recipe or ("pad" if spec.startswith("fashion_mnist") else "plain")
    if recipe not in RECIPES:
        raise UserError(f"recipe must be one of {', '.join(RECIPES)}, not {recipe!r}")

    reader = open_reader(spec)
    if not len(reader):
        raise UserError(f"{spec} holds no image")
    bad_images = BadImages(on_bad_image)
    images = load_into_memory(reader, image_size, recipe, bad_images)
    bad_images.summarize(len(reader))
    if not len(images):
        raise UserError(f"{spec}: none of its {len(reader)} images can be used")
    name = fingerprint(reader.kind, reader.identity, image_size, recipe, len(images))
    return MemorySource(images, name)


def open_reader(spec: str) -> Reader:
    """The reader that a spec names."""
    name, _, split = spec.partition(":")
    if spec == "portraits":
        return read_portraits()
    if name == "fashion_mnist":
        return read_fashion_mnist(split or "train")
    path = os.path.expanduser(spec)
    if os.path.isdir(path):
        return FolderReader(path)
    if not os.path.exists(path):
        raise UserError(
            f"no data at {spec!r}: give portraits, fashion_mnist, tfds:NAME or a path"
        )
    if path.endswith(".zip"):
        return ZipReader(path)
    if is_numpy(path):
        return read_numpy(path)
    if is_idx(path):
        return read_idx(path)
    raise UserError(
        f"{spec} is of no kind that is read: a folder, .zip, .npy, .npz or IDX file"
    )
