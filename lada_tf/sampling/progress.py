"""The progress of a training run as a video of its sample grids."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from lada_tf.errors import UserError
from lada_tf.io import check_output, replacing
from lada_tf.sampling import video


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
    ending = check_output("output", output, video.ENDINGS, overwrite)
    video.check_encoder(ending)
    directory = Path(run_dir) / "samples"
    grids = sorted(directory.glob("grid-*.png"))
    if not grids:
        raise UserError(f"run_dir={run_dir}: no sample grids in {directory}")

    def frames() -> Iterator[np.ndarray]:
        for grid in grids:
            with Image.open(grid, formats=("PNG",)) as image:
                yield np.asarray(image.convert("RGB"))

    with replacing(output) as temporary:
        video.write_video(temporary, ending, frames(), fps)
    return len(grids)
