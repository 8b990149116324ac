"""Images from a generator, by seed, and how they are written."""

import io
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.io import write_atomically
from lada_tf.sampling.grids import attention_grid, image_grid, png_bytes, to_uint8


def generate(
    generator,
    num_images,
    *,
    seed=0,
    interpolation_steps=0,
    spherical=False,
    batch_size=64,
    attention_maps=False,
):
    """Images of fixed latents, made in batches.

    Args:
        generator: a `Generator`.
        num_images: int, latents to draw.
        seed: int; the same seed draws the same latents, whatever the batch.
        interpolation_steps: int. If above 0, each latent is followed by this many
            images in all on the way to the next latent; the last one goes back to the
            first.
        spherical: bool, whether that way is an arc and not a straight line.
        batch_size: int, images at a time.
        attention_maps: bool, whether to return the maps too.

    Returns:
        The pair of images, float32 (N, H, W, 3) about [-1, 1], and attention maps, a
        list with a float32 array (N, heads, tokens) a stage, or None.
    """
    latents = np.asarray(
        keras.random.normal((num_images, generator.latent_dim), seed=seed)
    )
    if interpolation_steps:
        latents = interpolate(latents, interpolation_steps, spherical)
    images, maps = [], []
    make = compiled(generator)
    for start in range(0, len(latents), batch_size):
        made, made_maps = make(latents[start : start + batch_size])
        images.append(np.asarray(made))
        if attention_maps:
            maps.append([np.asarray(stage) for stage in made_maps])
    if not attention_maps:
        return np.concatenate(images), None
    return np.concatenate(images), [
        np.concatenate(stage) for stage in zip(*maps, strict=True)
    ]


def compiled(generator, jit_compile=False):
    """A generator as a graph: latents → images, attention maps.

    Called layer by layer, from Python, an image takes several times as long.

    Args:
        generator: a `Generator`.
        jit_compile: bool, whether XLA compiles the graph, at the first call with each
            batch size (a second on 2 cores): what makes a few images at a time again
            and again is faster for it.
    """
    latents = tf.TensorSpec((None, generator.latent_dim), tf.float32)

    @tf.function(input_signature=[latents], jit_compile=jit_compile or None)
    def make(latents):
        return generator(latents, training=False, return_attention_maps=True)

    return make


def interpolate(latents, steps, spherical=False):
    """From each latent to the next, and from the last to the first.

    Args:
        latents: float array (N, L).
        steps: int, latents from one to the next, without the next.
        spherical: bool. If True, along the arc between the two directions (slerp), on
            which latents keep the length that is usual for normal ones; else along the
            straight line, in whose middle they are shorter.

    Returns:
        A float32 array (N·steps, L).
    """
    end = np.roll(latents, -1, axis=0)[:, None]
    start = latents[:, None]  # (N, 1, L)
    weight = np.linspace(0, 1, steps, endpoint=False)[:, None]
    if spherical:
        norms = np.linalg.norm(start, axis=-1) * np.linalg.norm(end, axis=-1)
        cosine = np.sum(start * end, axis=-1) / norms
        angle = np.arccos(np.clip(cosine, -1, 1))[..., None]
        # At an angle of 0 the arc is the line.
        sine = np.where(angle > 1e-6, np.sin(angle), 1)
        from_start = np.where(angle > 1e-6, np.sin((1 - weight) * angle), 1 - weight)
        from_end = np.where(angle > 1e-6, np.sin(weight * angle), weight)
        path = (start * from_start + end * from_end) / sine
    else:
        path = start * (1 - weight) + end * weight
    return path.reshape(-1, latents.shape[-1]).astype(np.float32)


def write_samples(output, images, maps=None, columns=None) -> None:
    """Writes images as one picture (.png), one array (.npz) or a folder of PNGs.

    Args:
        output: path.
        images: floats (N, H, W, 3) about [-1, 1].
        maps: attention maps, to be shown beside the images of a picture.
        columns: int, images in a row of the picture; about a square by default.

    Raises:
        UserError: if the output cannot be written, or is a folder with files in it.
    """
    output = Path(output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.suffix == ".png":
            columns = columns or int(np.ceil(len(images) ** 0.5))
            picture = (
                image_grid(images, columns)
                if maps is None
                else attention_grid(images, maps)
            )
            write_atomically(output, png_bytes(picture))
        elif output.suffix == ".npz":
            stream = io.BytesIO()
            np.savez_compressed(stream, images=to_uint8(images))
            write_atomically(output, stream.getbuffer())
        else:
            _write_folder(output, to_uint8(images))
    except OSError as error:
        raise UserError(
            f"--output={output}: cannot be written ({error.strerror})"
        ) from error


def _write_folder(folder, images):
    folder.mkdir(exist_ok=True)
    if any(folder.iterdir()):
        raise UserError(f"--output={folder}: the folder is not empty")
    digits = len(str(len(images) - 1))
    for i, image in enumerate(images):
        (folder / f"{i:0{digits}}.png").write_bytes(png_bytes(image))
