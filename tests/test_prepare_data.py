import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

KILLS = 10


def command(source, output, *flags: str) -> list[str]:
    return [
        *(sys.executable, "-m", "lada_tf.prepare_data"),
        *(f"--source={source}", f"--output={output}", *flags),
    ]


def run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(command(*arguments), capture_output=True, text=True)


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_killed_at_random_it_ends_with_the_same_shards(tmp_path):
    # Some 2.5 s of work in 60 shards, so that kills fall on decoding, writing, noting.
    pixels = np.random.default_rng(0).integers(0, 256, (2400, 40, 40, 3), np.uint8)
    folder = tmp_path / "images"
    folder.mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number}.png", compress_level=1)
    (folder / "77.png").write_bytes(b"")
    flags = ("--image_size=32", "--images_per_shard=40", "--on_bad_image=skip")

    undisturbed = run(folder, tmp_path / "undisturbed", *flags)
    assert undisturbed.returncode == 0, undisturbed.stderr

    output = tmp_path / "killed"
    moments = np.random.default_rng(1)
    unfinished = 0
    for _ in range(KILLS):
        killed = subprocess.Popen(
            command(folder, output, *flags), stderr=subprocess.DEVNULL
        )
        begun = os.listdir(output) if output.exists() else []
        _wait_for_change(output, begun, killed)
        time.sleep(moments.uniform(0, 0.15))
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        unfinished += not (output / "manifest.json").exists()
    assert unfinished >= KILLS // 2  # else the test kills too late to mean anything

    finished = run(folder, output, *flags)
    assert finished.returncode == 0, finished.stderr
    assert contents(output) == contents(tmp_path / "undisturbed")


def _wait_for_change(folder, names: list[str], process: subprocess.Popen) -> None:
    """Until the process has passed its start-up and touched the folder."""
    while process.poll() is None:
        if folder.exists() and os.listdir(folder) != names:
            return
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--source=portraits", "--output=out"], "--image_size is missing"),
        (["--source=portraits", "--output=out", "--image_size=64"], "smaller than"),
        (["--recipe=stretch"], "recipe"),
        (["--output=out", "--verify"], "manifest.json"),
    ],
)
def test_a_users_mistake_is_one_line(flags, message, tmp_path):
    finished = subprocess.run(
        [sys.executable, "-m", "lada_tf.prepare_data", *flags],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert finished.returncode == 2
    (line,) = [x for x in finished.stderr.splitlines() if x.startswith("error:")]
    assert message in line
    assert "Traceback" not in finished.stderr


def test_it_says_what_it_made_and_verifies_it(tmp_path):
    made = run("portraits", tmp_path / "out", "--image_size=16")
    assert made.returncode == 0, made.stderr
    assert "997 images of 16x16 in 1 shards, 0 bad" in made.stdout
    verified = run("portraits", tmp_path / "out", "--verify")
    assert "997 images, every checksum is right" in verified.stdout
