"""Pictures of what a generator makes: grids of images and of attention maps."""

import io

import numpy as np
from PIL import Image

from lada_tf.errors import UserError

# Black, violet, red, orange, pale yellow: dark to light, readable in grey as well.
HEAT = np.array(
    [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], float
)


def to_uint8(images) -> np.ndarray:
    """Floats about [-1, 1] to uint8 0..255: clipped, rounded to the nearest."""
    scaled = np.asarray(images, np.float32) * 127.5 + 127.5
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def tile(images: np.ndarray, columns: int, gap: int = 0) -> np.ndarray:
    """Images uint8 (N, H, W, 3), row by row, as one picture on white."""
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    canvas = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, channels),
        255,
        np.uint8,
    )
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def magnify(images: np.ndarray, side: int) -> np.ndarray:
    """Repeats pixels so that images (N, H, W, 3) have at least about `side` pixels."""
    factor = max(1, round(side / images.shape[1]))
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def heat_maps(maps: np.ndarray, side: int) -> np.ndarray:
    """Attention of one head, (N, tokens), as uint8 pictures (N, side, side, 3).

    Each map is scaled by its own largest value: it shows where a head looks, not how
    sharply.
    """
    grid = round(maps.shape[-1] ** 0.5)
    scaled = maps / maps.max(axis=-1, keepdims=True)
    colours = np.stack(
        [
            np.interp(scaled, np.linspace(0, 1, len(HEAT)), HEAT[:, channel])
            for channel in range(3)
        ],
        axis=-1,
    )
    pictures = colours.reshape(-1, grid, grid, 3).astype(np.uint8)
    return pictures.repeat(side // grid, axis=1).repeat(side // grid, axis=2)


def one_head(maps, head: int) -> list[np.ndarray]:
    """Of maps (N, heads, tokens), one a stage, those of one head: (N, 1, tokens).

    Raises:
        UserError: if a stage has no such head.
    """
    heads = min(stage.shape[1] for stage in maps)
    if head >= heads:
        raise UserError(f"--head={head}: the generator has heads 0 to {heads - 1}")
    return [np.asarray(stage[:, head : head + 1]) for stage in maps]


def image_grid(images, columns: int, side: int = 64) -> np.ndarray:
    """Floats (N, H, W, 3) about [-1, 1] as one uint8 picture."""
    return tile(magnify(to_uint8(images), side), columns)


def attention_grid(images, maps, side: int = 64) -> np.ndarray:
    """A row for each image: the image, then every head's map at every stage.

    Args:
        images: floats (N, H, W, 3) about [-1, 1].
        maps: a list of floats (N, heads, tokens), one a stage.
        side: int, about how large a tile is to be.
    """
    pictures = magnify(to_uint8(images), side)
    side = pictures.shape[1]
    columns = [pictures]
    for stage in maps:
        stage = np.asarray(stage)
        columns += [heat_maps(stage[:, head], side) for head in range(stage.shape[1])]
    rows = np.stack(columns, axis=1)  # (N, columns, side, side, 3)
    return tile(rows.reshape(-1, *rows.shape[2:]), len(columns), gap=2)


def png_bytes(picture: np.ndarray) -> bytes:
    """A uint8 picture (H, W, 3) as PNG."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG")
    return stream.getvalue()
