import os
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from tests import runner

KILLS = 10


def start(source, output, *flags: str) -> runner.Process:
    paths = f"--source={source}", f"--output={output}"
    return runner.start("lada_tf.prepare_data", *paths, *flags)


def run(*arguments) -> subprocess.CompletedProcess:
    return start(*arguments).wait()


def files(folder) -> list[str]:
    return os.listdir(folder) if folder.exists() else []


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
        begun = files(output)
        killed = start(folder, output, *flags)
        killed.wait_for(lambda begun=begun: files(output) != begun)
        time.sleep(moments.uniform(0, 0.15))
        killed.kill()
        killed.wait()
        unfinished += not (output / "manifest.json").exists()
    assert unfinished >= KILLS // 2  # else the test kills too late to mean anything

    finished = run(folder, output, *flags)
    assert finished.returncode == 0, finished.stderr
    assert contents(output) == contents(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--source=portraits", "--output=out"], "--image_size is missing"),
        (["--source=portraits", "--output=out", "--image_size=64"], "smaller than"),
        (["--resize=stretch"], "resize"),
        (["--output=out", "--verify"], "manifest.json"),
    ],
)
def test_a_users_mistake_is_one_line(flags, message, tmp_path):
    finished = runner.run("lada_tf.prepare_data", *flags, directory=tmp_path)
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
