"""Write generated images to files while they are generated, in constant memory."""

import io
import json
import os
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lada_tf.errors import UserError
from lada_tf.io import check_output, replacing, replacing_directory, user_files
from lada_tf.runtime import parallel_map, progress_bar
from lada_tf.sampling import video
from lada_tf.sampling.generate import Batch, Sampler, Samples
from lada_tf.sampling.grids import (
    attention_grid,
    attention_overlays,
    image_grid,
    magnify,
    one_head,
    png_bytes,
    tile,
)

PICTURES = (".png", *video.ENDINGS)  # outputs that can show attention maps
ENDINGS = (*PICTURES, ".npz", ".zip", ".tar", "")
MAX_IN_MEMORY = 4096  # images of a .png or .gif, which is made in memory
FRAME_SIDE = 256  # approximate height of a video's images in pixels
OUR_NAMES = re.compile(r"(seed)?\d+\.png")


def check_samples_output(
    output: str | os.PathLike,
    samples: Samples,
    attention_maps: bool = False,
    overwrite: bool = False,
) -> str:
    """Check the output of `write_samples`, and return its ending.

    Raises:
        UserError: if the output exists or cannot be written, has another ending, or
            cannot show the samples.
    """
    ending = check_output("output", output, ENDINGS, overwrite)
    if ending in video.ENDINGS:
        video.check_encoder(ending)
    if attention_maps and ending not in PICTURES:
        raise UserError(
            f"output={output}: attention maps need an output that ends with one of "
            f"{', '.join(PICTURES)}"
        )
    if ending in (".png", ".gif") and len(samples) > MAX_IN_MEMORY:
        raise UserError(
            f"output={output}: {len(samples):,} images are too many for a {ending} (at "
            f"most {MAX_IN_MEMORY:,}). Choose .mp4, .npz, .zip, .tar or a directory"
        )
    if not ending and os.path.isdir(output) and user_files(output):
        # The directory will be replaced, and its hidden files with it.
        names = sorted(set(os.listdir(output)) - {".DS_Store"})
        others = [name for name in names if not OUR_NAMES.fullmatch(name)]
        if others:
            raise UserError(
                f"output={output}: contains {others[0]!r}, which is not a generated "
                "image. Choose another directory"
            )
    return ending


def write_samples(
    generator: Any,
    samples: Samples,
    output: str | os.PathLike,
    *,
    batch_size: int = 64,
    attention_maps: bool = False,
    head: int | None = None,
    fps: float = 12,
    overwrite: bool = False,
) -> None:
    """Generate images and write them in the format of the output's ending.

    - .png: one picture. Paths between latents are its rows.
    - .npz: an array `arr_0`, uint8 (N, H, W, 3), as ADM's evaluator reads it.
    - .zip: one PNG file per image.
    - .tar: one PNG and one JSON file per image, in WebDataset's layout.
    - .gif, .mp4: a video with one frame per image.
    - none: a directory with one PNG file per image.

    PNG files are named by the number of the image or, with one image per seed, by the
    seed: seed0042.png. If this raises or is interrupted, the output does not change.

    Args:
        generator: see `Sampler`.
        samples: see `Sampler`.
        batch_size: see `Sampler`.
        output: path of the output.
        attention_maps: whether to draw attention maps too, in a .png, .gif or .mp4.
        head: draw only this head's maps. By default all heads in a .png, and head 0 in
            a video.
        fps: frames per second of a video.
        overwrite: whether to replace an existing file, or the images that an earlier
            call wrote to an existing directory.

    Raises:
        UserError: see `check_samples_output` and `Sampler`.
    """
    ending = check_samples_output(output, samples, attention_maps, overwrite)
    output = Path(output)

    def batches() -> Iterator[Batch]:
        with progress_bar(None, len(samples), "sampling") as bar:
            sampler = Sampler(generator, attention_maps)
            for batch in sampler.batches(samples, batch_size):
                yield batch
                bar.update(len(batch.images))

    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if not ending:
            _write_directory(output, samples, batches())
            return
        with replacing(output) as temporary:
            if ending == ".png":
                picture = _draw_grid(samples, list(batches()), head)
                Path(temporary).write_bytes(png_bytes(picture))
            elif ending in video.ENDINGS:
                video.write_video(temporary, ending, _frames(batches(), head), fps)
            else:
                WRITERS[ending](temporary, samples, batches())
    except OSError as error:
        raise UserError(
            f"output={output}: cannot be written ({error.strerror or error})"
        ) from error


def _draw_grid(samples: Samples, batches: list[Batch], head: int | None) -> np.ndarray:
    images = np.concatenate([batch.images for batch in batches])
    stages = zip(*(batch.attention_maps for batch in batches), strict=True)
    if maps := [np.concatenate(stage) for stage in stages]:
        return attention_grid(images, maps if head is None else one_head(maps, head))
    return image_grid(images, samples.steps or int(np.ceil(len(images) ** 0.5)))


def _frames(batches: Iterator[Batch], head: int | None) -> Iterator[np.ndarray]:
    """Yield each image, to the left of its attention maps."""
    for images, maps in batches:
        pictures = magnify(images, FRAME_SIDE)
        overlays = attention_overlays(pictures, one_head(maps, head or 0))
        for columns in zip(pictures, *overlays, strict=True):
            yield tile(np.stack(columns), len(columns), gap=4)


def _write_directory(
    directory: Path, samples: Samples, batches: Iterator[Batch]
) -> None:
    is_old = directory.is_dir() and any(user_files(directory))
    with replacing_directory(directory, overwrite=is_old, sync=False) as temporary:

        def write(numbered: tuple[int, np.ndarray]) -> None:
            path = Path(temporary, _name(samples, numbered[0]) + ".png")
            path.write_bytes(_encode(numbered[1]))

        for _ in parallel_map(write, enumerate(_images(batches))):
            pass


def _write_zip(path: str, samples: Samples, batches: Iterator[Batch]) -> None:
    with zipfile.ZipFile(path, "w") as archive:  # PNG files are compressed already
        for i, png in _png_files(batches):
            # Without a time, so that the same images make the same file.
            archive.writestr(zipfile.ZipInfo(_name(samples, i) + ".png"), png)


def _write_tar(path: str, samples: Samples, batches: Iterator[Batch]) -> None:
    with tarfile.open(path, "w") as archive:
        for i, png in _png_files(batches):
            facts = {"truncation": samples.truncation} | samples.origin(i)
            for ending, content in (
                ("png", png),
                ("json", json.dumps(facts).encode()),
            ):
                member = tarfile.TarInfo(f"{_name(samples, i)}.{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def _write_npz(path: str, samples: Samples, batches: Iterator[Batch]) -> None:
    """Write the array like `np.savez`, but without holding it in memory."""
    first = next(batches).images
    header = {
        "descr": "|u1",
        "fortran_order": False,
        "shape": (len(samples), *first.shape[1:]),
    }
    with (
        zipfile.ZipFile(path, "w") as archive,
        archive.open(zipfile.ZipInfo("arr_0.npy"), "w", force_zip64=True) as file,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        file.write(first.tobytes())
        for batch in batches:
            file.write(batch.images.tobytes())


WRITERS: dict[str, Callable[[str, Samples, Iterator[Batch]], None]] = {
    ".npz": _write_npz,
    ".zip": _write_zip,
    ".tar": _write_tar,
}


def _png_files(batches: Iterator[Batch]) -> Iterator[tuple[int, bytes]]:
    return enumerate(parallel_map(_encode, _images(batches)))


def _encode(image: np.ndarray) -> bytes:
    return png_bytes(image, compress_level=1)


def _images(batches: Iterator[Batch]) -> Iterator[np.ndarray]:
    return (image for batch in batches for image in batch.images)


def _name(samples: Samples, i: int) -> str:
    if samples.steps or samples.indices.any():
        return f"{i:0{max(6, len(str(len(samples) - 1)))}}"
    return f"seed{samples.seeds[i]:04}"
