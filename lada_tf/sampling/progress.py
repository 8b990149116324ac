"""The progress of a training run as a video of its sample grids."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from lada_tf.errors import UserError
from lada_tf.io import check_output, open_file, replacing
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
        size = None
        for grid in grids:
            with open_file(grid) as file, Image.open(file, formats=("PNG",)) as image:
                size = size or image.size
                if image.size != size:
                    raise UserError(f"{grid}: has another size than the first grid")
                yield np.asarray(image.convert("RGB"))

    Path(output).parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as temporary:
        video.write_video(temporary, ending, frames(), fps)
    return len(grids)
