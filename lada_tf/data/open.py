"""From the words of a flag to a source of images."""

import os

from lada_tf.data.load import BadImages, load_into_memory
from lada_tf.data.prepare import prepare_records
from lada_tf.data.reader import Reader
from lada_tf.data.readers import open_reader
from lada_tf.data.records import RecordSource, is_records
from lada_tf.data.resize import resize_for
from lada_tf.data.source import ImageSource, MemorySource, fingerprint
from lada_tf.data.subset import SubsetSource
from lada_tf.errors import UserError

DEFAULT_MEMORY_LIMIT = 4 * 2**30


def open_source(
    spec: str,
    image_size: int,
    *,
    resize: str | None = None,
    subset: float = 1.0,
    subset_seed: int = 0,
    on_bad_image: str = "error",
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    cache_dir: str | None = None,
    download: bool = False,
) -> ImageSource:
    """Opens a data set at a training size.

    All images are decoded here, once, so that a bad one shows before training does:
    into memory if they fit, else into records on disk, which the next call finds again.

    Args:
        spec: "portraits" (997 emoji portraits inside the package, 32x32);
            "fashion_mnist" or "fashion_mnist:test"; "tfds:NAME" or "tfds:NAME:SPLIT";
            or a path: a folder of images, our own records, a `.zip` of images, LSUN's
            LMDB, an IDX file, a `.npy` or a `.npz`.
        image_size: height and width in pixels.
        resize: how images get that size: "plain", "lsun" or "pad"; see
            `lada_tf.data.resize`. By default "pad" for fashion_mnist, else "plain".
            None of them enlarges an image: asking for more pixels than there are is an
            error, the portraits included. Our own records have their resize in them.
        subset: share of the images to keep, in (0, 1]. For one `subset_seed` smaller
            subsets lie within larger ones.
        subset_seed: an integer >= 0.
        on_bad_image: "error" or "skip" (with a report) for what cannot be read right.
        memory_limit: bytes of decoded images to hold in memory at most.
        cache_dir: where the records go that exceed it; by default `lada_tf` in
            XDG_CACHE_HOME or ~/.cache.
        download: let TFDS download and prepare what is not there.

    Returns:
        An `ImageSource`.

    Raises:
        UserError: one line that names the data and what would mend it.
    """
    if image_size < 1:
        raise UserError(f"image_size must be at least 1, not {image_size}")
    path = os.path.expanduser(spec)
    if is_records(path):
        source: ImageSource = _open_records(path, image_size, resize)
    else:
        resize = resize_for(spec, resize)
        bad_images = BadImages(on_bad_image)
        reader = open_reader(spec, download=download)
        if len(reader) * 3 * image_size**2 <= memory_limit:
            source = _in_memory(reader, spec, image_size, resize, bad_images)
        else:
            folder = cache_dir or _default_cache_dir()
            source = _on_disk(reader, folder, image_size, resize, bad_images)
        bad_images.summarize(len(reader))
    return SubsetSource(source, subset, subset_seed) if subset != 1 else source


def _open_records(path: str, image_size: int, resize: str | None) -> RecordSource:
    source = RecordSource(path)
    made = source.manifest["image_size"], source.manifest["resize"]
    if image_size != made[0] or (resize or made[1]) != made[1]:
        raise UserError(
            f"{path} holds records of {made[0]}x{made[0]} by the resize {made[1]}, not "
            f"{image_size}x{image_size} by {resize or made[1]}: prepare others"
        )
    return source


def _in_memory(
    reader: Reader, spec: str, size: int, resize: str, bad_images: BadImages
) -> MemorySource:
    images = load_into_memory(reader, size, resize, bad_images)
    if not len(images):
        raise UserError(f"{spec}: none of its {len(reader)} images can be used")
    name = fingerprint(reader.kind, reader.identity, size, resize, len(images))
    return MemorySource(images, name)


def _on_disk(
    reader: Reader, cache_dir: str, size: int, resize: str, bad_images: BadImages
) -> RecordSource:
    """Records in a folder named for what they hold; a later call finds them whole."""
    name = fingerprint(reader.kind, reader.identity, size, resize, len(reader))
    folder = os.path.join(cache_dir, name.replace(":", "-"))
    prepare_records(reader, folder, size, resize, bad_images)
    return RecordSource(folder)


def _default_cache_dir() -> str:
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(caches, "lada_tf")
