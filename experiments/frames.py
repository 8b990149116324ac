"""Write a sequence of frames as GIF, as MP4, or side by side in one PNG."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from lada_tf.errors import UserError
from lada_tf.io import write_atomically
from lada_tf.sampling.grids import png_bytes, tile


def write_frames(output: str, frames: np.ndarray, fps: float) -> None:
    """Write uint8 frames (N, H, W, 3) in the format of the suffix of `output`.

    Args:
        output: path; `.gif`, `.mp4` (needs imageio-ffmpeg), or `.png`: one picture
            with the frames side by side.
        fps: frames per second.

    Raises:
        UserError: if the suffix is another one, or imageio-ffmpeg is not installed.
    """
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gif":
        write_atomically(path, _gif(frames, fps))
    elif path.suffix == ".mp4":
        _write_mp4(path, frames, fps)
    elif path.suffix == ".png":
        write_atomically(path, png_bytes(tile(frames, len(frames), gap=2)))
    else:
        raise UserError(f"--output={output}: give a .gif, .mp4 or .png")


def _gif(frames, fps) -> bytes:
    stream = io.BytesIO()
    first, *rest = (Image.fromarray(frame) for frame in frames)
    first.save(
        stream,
        format="GIF",
        save_all=True,
        append_images=rest,
        duration=round(1000 / fps),
        loop=0,
    )
    return stream.getvalue()


def _write_mp4(path, frames, fps):
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UserError(
            f"--output={path}: MP4 needs `pip install 'lada_tf[experiments]'`; "
            ".gif needs no other package"
        ) from error
    # The codec needs even sides.
    height, width = (side - side % 2 for side in frames.shape[1:3])
    partial = path.with_name(f".partial.{path.name}")
    writer = imageio_ffmpeg.write_frames(
        str(partial), (width, height), fps=fps, macro_block_size=2
    )
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame[:height, :width]))
    writer.close()
    partial.replace(path)
