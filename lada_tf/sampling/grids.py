"""Pictures: bytes of images, grids of images and of attention maps."""

import io

import numpy as np
from PIL import Image

from lada_tf.errors import UserError
from lada_tf.models.networks import to_uint8

OVERLAY_OPACITY = 0.55  # of an attention map on top of its image
# RGB from low to high attention. The colors get lighter, so they also work in gray.
HEAT_COLORS = np.array(
    [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], float
)


def tile(images: np.ndarray, columns: int, gap: int = 0) -> np.ndarray:
    """Arrange uint8 images (N, H, W, C) in rows on white, with `gap` pixels between."""
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
    """Repeat the pixels of images (N, H, W, C) so that H is close to `side`."""
    factor = max(1, round(side / images.shape[1]))
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def heat_maps(maps: np.ndarray, side: int) -> np.ndarray:
    """Draw one head's maps (N, tokens) as uint8 heat maps (N, side, side, 3).

    Each map is divided by its maximum: colors show where a head attends, not how
    sharply.
    """
    grid = round(maps.shape[-1] ** 0.5)
    scaled = maps / maps.max(axis=-1, keepdims=True)
    levels = np.linspace(0, 1, len(HEAT_COLORS))
    colors = [np.interp(scaled, levels, channel) for channel in HEAT_COLORS.T]
    pictures = np.stack(colors, axis=-1).reshape(-1, grid, grid, 3).astype(np.uint8)
    return pictures.repeat(side // grid, axis=1).repeat(side // grid, axis=2)


def attention_overlays(images: np.ndarray, maps: list[np.ndarray]) -> list[np.ndarray]:
    """Draw every attention map on top of its image.

    Args:
        images: uint8 array (N, H, W, 3).
        maps: one float array (N, heads, tokens) per stage.

    Returns:
        A uint8 array (N, H, W, 3) per head of each stage.
    """
    mixed = []
    for stage in map(np.asarray, maps):
        for head in range(stage.shape[1]):
            heat = heat_maps(stage[:, head], images.shape[1])
            blend = (1 - OVERLAY_OPACITY) * images + OVERLAY_OPACITY * heat
            mixed.append(blend.astype(np.uint8))
    return mixed


def one_head(maps: list[np.ndarray], head: int) -> list[np.ndarray]:
    """Select one head: (N, heads, tokens) per stage becomes (N, 1, tokens).

    Raises:
        UserError: if a stage has no such head.
    """
    heads = min((stage.shape[1] for stage in maps), default=head + 1)
    if head >= heads:
        raise UserError(f"head={head}: the generator has heads 0 to {heads - 1}")
    return [stage[:, head : head + 1] for stage in maps]


def image_grid(images: np.ndarray, columns: int, side: int = 64) -> np.ndarray:
    """Draw a uint8 grid of images (see `to_uint8`), each about `side` pixels high."""
    return tile(magnify(np.asarray(to_uint8(images)), side), columns)


def attention_grid(
    images: np.ndarray, maps: list[np.ndarray], side: int = 64
) -> np.ndarray:
    """Draw one row per image: the image, then the map of every head of every stage.

    Args:
        images: array (N, H, W, 3), see `to_uint8`.
        maps: one float array (N, heads, tokens) per stage.
        side: approximate height of an image in the grid, in pixels.
    """
    columns = [magnify(np.asarray(to_uint8(images)), side)]
    side = columns[0].shape[1]
    for stage in map(np.asarray, maps):
        columns += [heat_maps(stage[:, head], side) for head in range(stage.shape[1])]
    rows = np.stack(columns, axis=1)  # (N, columns, side, side, 3)
    return tile(rows.reshape(-1, *rows.shape[2:]), len(columns), gap=2)


def png_bytes(picture: np.ndarray, compress_level: int = 6) -> bytes:
    """Encode a uint8 picture (H, W, 3) as PNG. Level 1 is fast and 12 % larger."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG", compress_level=compress_level)
    return stream.getvalue()
