"""Figures 5 to 8 and the progress of a run, from the run directory of a small run."""

import json

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from experiments.figure5 import read_curves, read_runs
from experiments.figure7 import stacked
from experiments.frames import write_frames
from lada_tf.errors import UserError
from tests.runner import succeed
from tests.small import SMALL_FLAGS


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run-0"
    flags = "--total_images=16 --log_images=4 --sample_images=8 --fd_images=8"
    flags += f" --fd_samples=32 --run_dir={path}"
    succeed("lada_tf.train", *SMALL_FLAGS, *flags.split())
    return path


def frames_of(path):
    with Image.open(path) as image:
        return getattr(image, "n_frames", 1), image.size


@pytest.mark.slow
def test_figure5(run_dir, tmp_path):
    output = tmp_path / "figure5.png"
    succeed("experiments.figure5", f"--runs={run_dir}", f"--output={output}")
    assert frames_of(output) == (1, (1300, 400))


def test_curves_are_what_was_logged(tmp_path):
    for seed in (0, 1):
        lines = [
            {"images": 4, "g_grad_norm": 1.0 + seed, "d_grad_norm": 5.0},
            {"images": 4, "FD (small classifier)": 9.0},
            {"images": 8, "g_grad_norm": 2.0, "d_grad_norm": 6.0},
        ]
        text = "\n".join(map(json.dumps, lines))
        (tmp_path / f"lada-{seed}.jsonl").write_text(text)
    curves = read_curves(tmp_path / "lada-1.jsonl")
    assert {name: curve.tolist() for name, curve in curves.items()} == {
        "g_grad_norm": [[4, 8], [2, 2]],
        "d_grad_norm": [[4, 8], [5, 6]],
        "distance": [[4], [9]],
    }
    runs = read_runs([f"{tmp_path}/lada-*.jsonl"])
    assert list(runs) == ["lada"]
    assert len(runs["lada"]["g_grad_norm"]) == 2
    with pytest.raises(UserError, match="no such run"):
        read_runs([f"{tmp_path}/swin-*"])
    (tmp_path / "bad.jsonl").write_text("{")
    with pytest.raises(UserError, match=r"bad\.jsonl"):
        read_curves(tmp_path / "bad.jsonl")


@pytest.mark.slow
def test_figure6(run_dir, tmp_path):
    output = tmp_path / "figure6.png"
    flags = [f"--run_dir={run_dir}", f"--output={output}", "--num_images=3"]
    succeed("experiments.figure6", *flags, "--head=2")
    assert frames_of(output) == (1, (3 * 66 - 2, 3 * 66 - 2))


@pytest.mark.slow
def test_figure7(run_dir, tmp_path):
    output = tmp_path / "figure7.gif"
    flags = [f"--run_dir={run_dir}", f"--output={output}", "--frames=3"]
    succeed("experiments.figure7", *flags, "--spherical")
    assert frames_of(output) == (6, (96, 288))


def test_frames_as_one_picture_and_as_video(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (6, 33, 20, 3), np.uint8)
    write_frames(str(tmp_path / "frames.png"), frames, fps=12)
    assert frames_of(tmp_path / "frames.png") == (1, (6 * 22 - 2, 33))
    write_frames(str(tmp_path / "frames.mp4"), frames, fps=12)
    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "frames.mp4"))
    assert (count, seconds) == (6, pytest.approx(6 / 12, abs=0.05))
    with pytest.raises(UserError, match=r"give a \.gif, \.mp4 or \.png"):
        write_frames("frames.avi", frames, fps=12)


def test_a_frame_is_an_image_above_its_maps():
    images = np.full((1, 32, 32, 3), 1.0)
    maps = [np.zeros((1, 1, 64)), np.zeros((1, 1, 256))]
    maps[0][0, 0, 0] = 1
    maps[1][0, 0, -1] = 1
    frame = stacked(images, maps)[0]
    assert frame.shape == (288, 96, 3)
    assert (frame[:96] == 255).all()
    bright = frame.sum(-1) > 500
    assert bright[96:108, :12].all()
    assert bright[-6:, -6:].all()
    assert bright[96:].sum() == 12**2 + 6**2


@pytest.mark.slow
def test_progress(run_dir, tmp_path):
    output = tmp_path / "progress.gif"
    succeed("experiments.progress", f"--run_dir={run_dir}", f"--output={output}")
    count, _ = frames_of(output)
    assert count == len(list((run_dir / "samples").glob("grid-*.png"))) >= 3
