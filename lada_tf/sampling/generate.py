"""Generate images, interpolate between latents, and write images to files."""

import io
import os
import re
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.io import check_output, write_atomically
from lada_tf.models import Generator
from lada_tf.runtime import progress_bar
from lada_tf.sampling.grids import attention_grid, image_grid, png_bytes, to_uint8

OUTPUTS = (".png", ".npz", "")  # endings of `write_samples`


def generate_images(
    generator: Generator,
    num_images: int,
    *,
    seed: int = 0,
    interpolation_steps: int = 0,
    spherical: bool = False,
    batch_size: int = 64,
    attention_maps: bool = False,
) -> tuple[np.ndarray, list[np.ndarray] | None]:
    """Generate images from random latents, in batches.

    Args:
        generator: a `Generator`.
        num_images: number of latents.
        seed: seed of the latents. `batch_size` does not change them.
        interpolation_steps: if above 0, generate this many images per latent, on the
            path from it to the next latent (see `interpolate_latents`).
        spherical: whether that path is an arc instead of a straight line.
        batch_size: images per batch.
        attention_maps: whether to return attention maps.

    Returns:
        A pair: the images, a uint8 array (N, H, W, 3), and the attention maps, a list
        with one float32 array (N, heads, tokens) per stage, or None.

    Raises:
        UserError: if a pixel is NaN or infinite.
    """
    latents = np.asarray(
        keras.random.normal(
            (num_images, generator.latent_dim), dtype="float32", seed=seed
        )
    )
    if interpolation_steps:
        latents = interpolate_latents(latents, interpolation_steps, spherical)
    forward = forward_function(generator)
    size = generator.image_size
    images = np.empty((len(latents), size, size, 3), np.uint8)
    maps: list[list[np.ndarray]] = [[] for _ in generator.resolutions]
    with progress_bar(None, len(latents), "sampling") as bar:
        for start in range(0, len(latents), batch_size):
            outputs = forward(latents[start : start + batch_size])
            if not np.isfinite(outputs["images"]).all():
                raise UserError(
                    "the generator returns NaN or infinite pixels: its training "
                    "diverged. Use an older checkpoint"
                )
            batch = to_uint8(outputs["images"])
            images[start : start + len(batch)] = batch
            bar.update(len(batch))
            for i, parts in enumerate(maps if attention_maps else ()):
                parts.append(outputs[f"attention_{i}"].numpy())
    return images, [np.concatenate(p) for p in maps] if attention_maps else None


def forward_function(
    generator: Generator, jit_compile: bool = False
) -> tf.types.experimental.PolymorphicFunction:
    """Return a generator's inference as a `tf.function`, for speed and for export.

    Args:
        generator: a `Generator`.
        jit_compile: whether XLA compiles the graph, once per batch size.

    Returns:
        A `tf.function` that maps latents, float32 (B, latent_dim), to a dictionary:
        `images`, float32 (B, H, W, 3) in about [-1, 1], and `attention_0`,
        `attention_1`, … for the stages, float32 (B, heads, tokens).
    """
    spec = tf.TensorSpec((None, generator.latent_dim), tf.float32, name="latents")
    grids = zip(generator.num_heads, generator.resolutions, strict=True)
    shapes = [(None, heads, side**2) for heads, side in grids]

    @tf.function(input_signature=[spec], jit_compile=jit_compile or None)
    def forward(latents):
        images, maps = generator(latents, training=False, return_attention_maps=True)
        images.set_shape((None, generator.image_size, generator.image_size, 3))
        for stage, shape in zip(maps, shapes, strict=True):
            stage.set_shape(shape)
        return {"images": images} | {f"attention_{i}": m for i, m in enumerate(maps)}

    return forward


def interpolate_latents(
    latents: np.ndarray, steps: int, spherical: bool = False
) -> np.ndarray:
    """Interpolate from each latent to the next, and from the last to the first.

    Args:
        latents: float array (N, L).
        steps: number of latents per segment, including its start but not its end.
        spherical: whether to follow the arc between two latents (slerp) instead of the
            straight line. The arc keeps the length of normal latents; the middle of the
            line is shorter.

    Returns:
        A float32 array (N * steps, L).
    """
    end = np.roll(latents, -1, axis=0)[:, None]
    start = latents[:, None]  # (N, 1, L)
    weight = np.linspace(0, 1, steps, endpoint=False)[:, None]
    if spherical:
        norms = np.linalg.norm(start, axis=-1) * np.linalg.norm(end, axis=-1)
        cosine = np.sum(start * end, axis=-1) / norms
        angle = np.arccos(np.clip(cosine, -1, 1))[..., None]
        angle = np.maximum(angle, 1e-6)  # its sine is a divisor
        path = start * np.sin((1 - weight) * angle) + end * np.sin(weight * angle)
        path = path / np.sin(angle)
    else:
        path = start * (1 - weight) + end * weight
    return path.reshape(-1, latents.shape[-1]).astype(np.float32)


def write_samples(
    output: str | os.PathLike,
    images: np.ndarray,
    maps: list[np.ndarray] | None = None,
    columns: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write images as one picture, as one array, or as a directory of PNG files.

    Args:
        output: path of a .png file (a grid), an .npz file (an array `images`), or a
            directory (one PNG file per image).
        images: array (N, H, W, 3): uint8, or float in about [-1, 1].
        maps: attention maps to draw next to the images of a grid.
        columns: images per row of the grid. The default makes it about square.
        overwrite: whether to replace an existing file, or the numbered PNG files in an
            existing directory.

    Raises:
        UserError: if the output exists, has another ending, or cannot be written.
    """
    ending = check_output("output", output, OUTPUTS, overwrite)
    output = Path(output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if ending == ".png":
            columns = columns or int(np.ceil(len(images) ** 0.5))
            grid = attention_grid(images, maps) if maps else image_grid(images, columns)
            write_atomically(output, png_bytes(grid))
        elif ending == ".npz":
            stream = io.BytesIO()
            np.savez_compressed(stream, images=to_uint8(images))
            write_atomically(output, stream.getbuffer())
        else:
            _write_png_files(output, np.asarray(to_uint8(images)))
    except OSError as error:
        raise UserError(
            f"output={output}: cannot be written ({error.strerror})"
        ) from error


def _write_png_files(directory: Path, images: np.ndarray) -> None:
    """Write the images. Then delete other files whose names have as many digits."""
    directory.mkdir(exist_ok=True)
    digits = len(str(len(images) - 1))
    names = [f"{i:0{digits}}.png" for i in range(len(images))]
    for name, image in zip(names, images, strict=True):
        write_atomically(directory / name, png_bytes(image))
    for path in directory.iterdir():
        if re.fullmatch(rf"\d{{{digits}}}\.png", path.name) and path.name not in names:
            path.unlink()
