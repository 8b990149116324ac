"""The commands as a user runs them: in processes, with exit codes and files."""

import json
import os
import re

import numpy as np
import pytest
from PIL import Image

from lada_tf import load_generator, load_run
from lada_tf.sampling import generate_images
from lada_tf.training.configuration import FIELDS, OPTION_FIELDS
from tests import runner
from tests.small import SMALL_FLAGS, assert_equal

pytestmark = pytest.mark.slow

TINY = (
    *SMALL_FLAGS,
    "--augment=color,translation,cutout",
    "--log_images=8",
    "--sample_images=16",
    "--checkpoint_images=16",
)


def run(app, *arguments, **options):
    return runner.run(f"lada_tf.{app}", *arguments, **options)


def succeed(app, *arguments):
    return runner.succeed(f"lada_tf.{app}", *arguments)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run directory after 12 steps without interruption."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    succeed("train", *TINY, "--total_images=48", f"--run_dir={folder}")
    return folder


def test_a_run_directory_is_complete(trained):
    assert {p.name for p in trained.iterdir()} == {
        "checkpoints",
        "flags.cfg",
        "lock",
        "logs",
        "metrics.jsonl",
        "samples",
    }
    # Not empty: the default may change.
    assert "--resize=center_crop\n" in (trained / "flags.cfg").read_text()
    lines = [
        json.loads(s) for s in (trained / "metrics.jsonl").read_text().splitlines()
    ]
    assert [line["images"] for line in lines] == [8, 16, 24, 32, 40, 48]
    assert all(np.isfinite(list(line.values())).all() for line in lines)
    grids = sorted(p.name for p in (trained / "samples").iterdir())
    counts = (0, 16, 32, 48)
    assert grids == [
        f"{kind}-{n:010d}.png" for kind in ("attention", "grid") for n in counts
    ]
    assert Image.open(trained / "samples" / grids[-1]).size == (512, 512)
    checkpoints = sorted(p.name for p in (trained / "checkpoints").iterdir())
    assert checkpoints == ["images-0000000032", "images-0000000048"]
    assert any((trained / "logs").iterdir())


def test_a_stopped_and_resumed_run_is_bit_identical(trained, tmp_path):
    """SIGTERM saves a checkpoint and exits with 143. --run_dir alone resumes."""
    folder = tmp_path / "run"
    arguments = (*TINY, "--total_images=48", f"--run_dir={folder}")
    process = runner.start("lada_tf.train", *arguments)
    process.wait_for((folder / "metrics.jsonl").exists)
    process.terminate()
    assert process.wait().returncode == 143
    (checkpoint, *_) = sorted((folder / "checkpoints").iterdir())
    assert 8 <= int(checkpoint.name.split("-")[1]) < 48
    printed = succeed("train", f"--run_dir={folder}")
    assert f"resuming from {checkpoint}" in printed

    assert_same_run(folder, trained)


@pytest.mark.parametrize("room", [150_000, 300_000])  # too small for a grid; for a log
def test_a_full_disk_is_reported_and_loses_nothing(trained, tmp_path, room):
    arguments = (*TINY, "--total_images=48", f"--run_dir={tmp_path}/run")
    full = run("train", *arguments, file_size=room)
    assert full.returncode == 2
    (line,) = [s for s in full.stderr.splitlines() if "error:" in s]
    assert "File too large" in line
    succeed("train", *arguments)
    assert_same_run(tmp_path / "run", trained)


def test_diverged_training_ends_with_one_line(tmp_path):
    run_dir = f"--run_dir={tmp_path}/run"
    result = run("train", *TINY, "--g_learning_rate=1e38", run_dir)
    assert result.returncode == 3
    (line,) = [s for s in result.stderr.splitlines() if "error:" in s]
    (file,) = (tmp_path / "run").glob("nonfinite-*.json")
    assert f"not finite at step 1; see {file}" in line


def assert_same_run(folder, other):
    names = ["metrics.jsonl"]
    names += [f"samples/{p.name}" for p in (other / "samples").iterdir()]
    for name in names:
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    ours, theirs = load_run(folder), load_run(other)
    for network in ("generator", "ema_generator", "discriminator"):
        assert_equal(getattr(ours, network).weights, getattr(theirs, network).weights)


def test_sample(trained, tmp_path):
    model = f"--model={trained}"
    for output in ("grid.png", "images.npz", "folder"):
        succeed("sample", model, "--num_images=6", f"--output={tmp_path / output}")
    images = np.load(tmp_path / "images.npz")["arr_0"]
    assert images.shape == (6, 32, 32, 3)
    for i, image in enumerate(images):
        saved = np.asarray(Image.open(tmp_path / "folder" / f"00000{i}.png"))
        np.testing.assert_array_equal(saved, image)
    seeds = tmp_path / "seeds"
    succeed("sample", model, "--seeds=0-1,9", "--truncation=1", f"--output={seeds}")
    names = ["seed0000.png", "seed0001.png", "seed0009.png"]
    assert sorted(os.listdir(seeds)) == names
    first = np.asarray(Image.open(seeds / names[0]), int)
    np.testing.assert_allclose(first, images[0], atol=1)  # in a batch of another size
    video = tmp_path / "progress.gif"
    succeed("sample", model, "--progress", f"--output={video}")
    assert Image.open(video).n_frames == len(list(trained.glob("samples/grid-*.png")))
    half = f"--output={tmp_path / 'half.npz'}"
    succeed("sample", model, "--num_images=6", "--precision=bfloat16", half)
    difference = np.load(tmp_path / "half.npz")["arr_0"] - images.astype(float)
    assert 0 < np.abs(difference).mean() < 4  # levels of 255


def test_frozen_bfloat16_weights_give_the_same_images(trained, tmp_path):
    """With batches of two sizes, for which oneDNN reorders the weights differently."""
    output = tmp_path / "images.npz"
    flags = "--num_images=6", "--batch_size=4", "--precision=bfloat16"
    succeed("sample", f"--run_dir={trained}", *flags, f"--output={output}")
    assert "TF_ONEDNN_ASSUME_FROZEN_WEIGHTS" not in os.environ  # of this process
    expected = generate_images(load_generator(trained, precision="bfloat16"), 6)
    difference = np.load(output)["arr_0"] - expected.astype(float)
    assert np.abs(difference).mean() < 0.5  # levels of 255


def test_dry_run_writes_nothing(tmp_path):
    folder = tmp_path / "run"
    printed = succeed("train", *TINY, f"--run_dir={folder}", "--dry_run")
    assert not folder.exists()
    for text in (
        "997 images",
        "starts a new run",
        "d_loss:",
        "parameters",
        "time per step: 0.",
        " MiB",
    ):
        assert text in printed


def test_doctor_takes_the_run_with_and_without_the_name_of_the_flag(trained, tmp_path):
    printed = succeed("doctor", trained)
    assert "too early to say" in printed
    assert f"lada-tf train --run_dir={trained}" in printed
    assert succeed("doctor", f"--run_dir={trained}") == printed
    assert f"lada-tf train --run_dir={trained} " in succeed("doctor", f"{trained}/")
    absent = run("doctor", tmp_path / "absent")
    assert absent.returncode == 2
    assert absent.stderr.startswith("error: --run_dir=")


def test_summary():
    printed = succeed("summary", "--preset=cifar10")
    assert (
        "19.902M parameters   1.525 GFLOP   0.763 GMAC   (paper: 19M, 0.7B)" in printed
    )


def test_flags_cfg_repeats_the_run(trained, tmp_path):
    flagfile = f"--flagfile={trained / 'flags.cfg'}"
    succeed("train", flagfile, f"--run_dir={tmp_path / 'again'}")
    assert_same_run(tmp_path / "again", trained)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset=tyni"], "--preset=tyni: "),
        (["--preset=tiny", "--learning_rate=1"], "learning_rate"),
        (["--preset=tiny", "batch_size=3"], "unexpected argument 'batch_size=3'"),
        (
            ["--preset=tiny", "--batch_size=0"],
            "--batch_size=0: must be at least 1",
        ),
        (["--preset=tiny", "--g_heads=5"], "g_heads=5 does not divide the width 96"),
        (["--preset=tiny", "--data=nowhere"], "nowhere"),
        (["--preset=tiny", "--image_size=64"], "64"),
        (["--flagfile=absent.cfg"], "absent.cfg"),
        ([], "--preset"),
        (["--init_from=absent"], "--init_from=absent: "),
        (["--init_from=portraits"], "--init_from=portraits: "),  # without --data
        (["--init_from=portraits", "--data=x", "--latent_dim=9"], "latent_dim=9 "),
    ],
)
def test_user_errors_exit_with_2_and_one_line(arguments, message, tmp_path):
    result = run("train", f"--run_dir={tmp_path / 'run'}", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_with_other_settings_is_rejected_before_the_data_is_read(trained):
    """Also by --dry_run, and where the other settings are those of the run."""
    flags = f"--run_dir={trained}", "--r1_gamma=3", "--data=nowhere"
    for more in (TINY, (), ("--dry_run",)):
        result = run("train", *flags, *more)
        assert result.returncode == 2
        assert "r1_gamma was 0.01, now 3.0" in result.stderr


def test_short_help_lists_every_flag_by_topic():
    result = run("train", "-h")
    assert result.returncode == 0
    assert result.stdout == succeed("train", "--help")
    topics = re.findall(r"^(\w.*):$", result.stdout, re.M)
    assert topics[0] == "Common flags"
    assert "Other flags" not in topics
    names = re.findall(r"^  --(?:\[no\])?(\w+)$", result.stdout, re.M)
    assert names[0] == "preset"
    assert len(names) == len(set(names))
    assert {*FIELDS, *OPTION_FIELDS, "run_dir", "dry_run", "strategy"} <= {*names}
