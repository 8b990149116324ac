"""Write frames, or the sample grids of a run, as a video: GIF, or MP4 by FFmpeg."""

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from lada_tf.errors import UserError
from lada_tf.io import check_output, open_file, replacing

ENDINGS = (".gif", ".mp4")


def check_encoder(ending: str) -> None:
    """Check that a video with this ending can be written.

    Raises:
        UserError: if the encoder is not installed.
    """
    if ending == ".mp4":
        try:
            import imageio_ffmpeg  # noqa: F401
        except ImportError as error:
            raise UserError(
                "output=….mp4: requires imageio-ffmpeg. Run: pip install "
                "'lada_tf[video]'. Or choose .gif, which needs no other package"
            ) from error


def write_video(
    path: str | os.PathLike, ending: str, frames: Iterator[np.ndarray], fps: float
) -> None:
    """Write uint8 frames (H, W, 3) of equal size as a video. A GIF repeats forever.

    Args:
        path: path of the file. Its ending does not matter.
        ending: one of `ENDINGS`, which selects the format.
        frames: at least one frame.
        fps: frames per second. GIF rounds their duration to 10 ms.
    """
    write = _write_gif if ending == ".gif" else _write_mp4
    write(path, frames, fps)


def write_progress(
    run_dir: str | os.PathLike,
    output: str | os.PathLike,
    fps: float = 4,
    overwrite: bool = False,
) -> int:
    """Write the sample grids of a run, in order, as a .gif or .mp4.

    Returns:
        The number of grids.

    Raises:
        UserError: if there are no grids, or the output exists or has another ending.
    """
    ending = check_output("output", output, ENDINGS, overwrite)
    check_encoder(ending)
    directory = Path(run_dir) / "samples"
    grids = sorted(directory.glob("grid-*.png"))
    if not grids:
        raise UserError(
            f"run_dir={run_dir}: no sample grids in {directory} yet. Training writes "
            "them there"
        )

    def frames() -> Iterator[np.ndarray]:
        size = None
        for grid in grids:
            with open_file(grid) as file, Image.open(file, formats=("PNG",)) as image:
                size = size or image.size
                if image.size != size:
                    raise UserError(
                        f"{grid}: has another size than {grids[0]}. Move it away"
                    )
                yield np.asarray(image.convert("RGB"))

    Path(output).parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as temporary:
        write_video(temporary, ending, frames(), fps)
    return len(grids)


def _write_gif(path: str | os.PathLike, frames: Iterator[np.ndarray], fps: float):
    pictures = map(Image.fromarray, frames)
    next(pictures).save(
        path,
        format="GIF",
        save_all=True,
        append_images=pictures,
        duration=max(20, round(100 / fps) * 10),  # browsers slow down shorter ones
        loop=0,
    )


def _write_mp4(path: str | os.PathLike, frames: Iterator[np.ndarray], fps: float):
    import imageio_ffmpeg

    first = next(frames)
    # The codec needs even sides.
    height, width = (side - side % 2 for side in first.shape[:2])
    writer = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=fps,
        macro_block_size=2,
        output_params=["-f", "mp4"],
    )
    with contextlib.closing(writer):
        writer.send(None)
        for frame in itertools.chain([first], frames):
            writer.send(np.ascontiguousarray(frame[:height, :width]))
