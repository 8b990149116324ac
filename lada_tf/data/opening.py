"""Open a dataset by name or path."""

import contextlib
import os
from collections.abc import Iterator

from lada_tf.data import arrays
from lada_tf.data.decoding import EXTENSIONS, BadImage
from lada_tf.data.lmdb_reader import LmdbReader
from lada_tf.data.loading import BadImages, decode_item, load_into_memory
from lada_tf.data.prepare import prepare_records
from lada_tf.data.readers import FolderReader, Reader, ZipReader
from lada_tf.data.records import RecordSource, is_records
from lada_tf.data.resize import check_resize
from lada_tf.data.source import ImageSource, MemorySource, SubsetSource
from lada_tf.data.tfds_reader import TfdsReader
from lada_tf.errors import UserError
from lada_tf.io import default_cache_dir, user_path


def open_source(
    data: str,
    image_size: int | None,
    *,
    resize: str | None = None,
    subset: float = 1.0,
    subset_seed: int = 0,
    on_bad_image: str = "error",
    memory_limit: int = 4 * 2**30,
    cache_dir: str | None = None,
    download: bool = False,
) -> ImageSource:
    """Open a dataset at the training size.

    Decodes all images once, so that damaged images are found before training starts.
    If they exceed `memory_limit`, writes them to records on disk, which the next call
    reuses.

    Args:
        data: "portraits" (997 emoji portraits of 32x32, part of the package);
            "fashion_mnist" or "fashion_mnist:test"; "tfds:NAME" or "tfds:NAME:SPLIT";
            or a path: a directory or `.zip` of images, a directory of records from
            `prepare_data`, LSUN's LMDB, an IDX file, a `.npy` or a `.npz` file.
        image_size: Height and width in pixels. If None, the images must be squares of
            one size, and are not resized. If smaller images are enlarged, a warning
            says how many.
        resize: "center_crop", "plain", "lsun", "pad" or "unchanged"; see
            `lada_tf.data.resize`. The default is the resize of the records, "pad" for
            fashion_mnist, "center_crop" for other data.
        subset: Fraction of the images to keep, in (0, 1]. Subsets with the same
            `subset_seed` are nested.
        subset_seed: An integer >= 0.
        on_bad_image: "error" to raise UserError at the first damaged image, "skip" to
            log and skip damaged images.
        memory_limit: Maximum size of the decoded images in memory, in bytes.
        cache_dir: Directory of the records and of digests. The default is `lada_tf` in
            XDG_CACHE_HOME or ~/.cache.
        download: Let TFDS download and prepare the dataset if needed.

    Returns:
        An `ImageSource`.

    Raises:
        UserError: The data or an argument is invalid.
    """
    if image_size is not None and image_size < 1:
        raise UserError(f"image_size={image_size}: must be at least 1")
    check_resize(resize)
    data = user_path(data)
    cache_dir = user_path(cache_dir) if cache_dir else None
    if is_records(data):
        source: ImageSource = _open_records(data, image_size, resize, cache_dir)
    else:
        bad_images = BadImages(on_bad_image)
        reader = open_reader(data, cache_dir=cache_dir, download=download)
        if image_size is None:
            image_size, resize = _native_size(data, reader), "unchanged"
        resize = resize or reader.default_resize
        if len(reader) * 3 * image_size**2 <= memory_limit:
            images = load_into_memory(reader, image_size, resize, bad_images)
            if not len(images):
                raise UserError(f"data={data}: none of {len(reader)} images is usable")
            fingerprint = reader.fingerprint(image_size, resize, len(images))
            source = MemorySource(images, fingerprint, resize)
        else:
            name = reader.fingerprint(image_size, resize, len(reader))
            directory = cache_dir or default_cache_dir()
            records = os.path.join(directory, name.replace(":", "-"))
            prepare_records(
                reader, records, image_size, resize, bad_images, is_cache=True
            )
            source = RecordSource(records, cache_dir)
        bad_images.log_summary(len(reader))
    return SubsetSource(source, subset, subset_seed) if subset != 1 else source


@contextlib.contextmanager
def naming_argument(name: str) -> Iterator[None]:
    """Let errors of `open_source` and `open_reader` name another argument than data."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace("data=", f"{name}=", 1)) from error


def _native_size(data: str, reader: Reader) -> int:
    """Return the size of the first usable image, which must be square."""
    first = ""
    for item in reader.items(0, len(reader)):
        try:
            height, width = decode_item(item).shape[:2]
        except BadImage as error:
            first = first or f". {item.name}: {error}"
            continue
        if height != width:
            raise UserError(f"data={data}: must be square, not {width}x{height}")
        return height
    raise UserError(f"data={data}: none of {len(reader)} images is usable{first}")


def _open_records(
    path: str, image_size: int | None, resize: str | None, cache_dir: str | None
) -> RecordSource:
    source = RecordSource(path, cache_dir)
    for name, value in {"image_size": image_size, "resize": resize}.items():
        if value and value != source.manifest[name]:
            raise UserError(
                f"{name}={value}: the records in data={path} have "
                f"{name}={source.manifest[name]}. Use that, or prepare other records"
            )
    return source


def open_reader(
    data: str, *, cache_dir: str | None = None, download: bool = False
) -> Reader:
    """Open a dataset, except records, without decoding it. See `open_source`."""
    reader = _find_reader(user_path(data), download)
    reader.cache_dir = cache_dir
    if not len(reader):
        extensions = ", ".join(EXTENSIONS)
        raise UserError(f"data={data}: no images found. Supported files: {extensions}")
    return reader


def _find_reader(data: str, download: bool) -> Reader:
    name, _, rest = data.partition(":")
    if data == "portraits":
        return arrays.read_portraits()
    if name == "fashion_mnist":
        return arrays.read_fashion_mnist(rest or "train")
    if name == "tfds":
        dataset, _, split = rest.partition(":")
        return TfdsReader(dataset, split or "train", download)
    if not os.path.exists(data):
        raise UserError(
            f"data={data}: not found. Expected portraits, fashion_mnist, tfds:NAME or "
            "a path"
        )
    ending = os.path.normpath(data).lower()
    if ending.endswith(".mdb") or os.path.isfile(os.path.join(data, "data.mdb")):
        return LmdbReader(data)
    if os.path.isdir(data):
        return FolderReader(data)
    if ending.endswith(".zip"):
        return ZipReader(data)
    if ending.endswith((".npy", ".npz")):
        return arrays.read_numpy(data)
    if ending.removesuffix(".gz").endswith(("-ubyte", ".idx")):
        return arrays.read_idx(data)
    raise UserError(
        f"data={data}: unsupported data source. Expected a directory, .zip, .npy, "
        ".npz, LMDB or IDX file"
    )
