import json
import os
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from tests import runner

pytestmark = pytest.mark.slow

KILLS = 10


def start(source, output, *flags: str) -> runner.Process:
    paths = f"--source={source}", f"--output={output}"
    return runner.start("lada_tf.prepare_data", *paths, *flags)


def run(*arguments) -> subprocess.CompletedProcess:
    return start(*arguments).wait()


def files(directory) -> list[str]:
    return os.listdir(directory) if directory.exists() else []


def contents(directory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_killed_runs_resume_and_write_the_same_shards(tmp_path):
    # About 2.5 s of work in 60 shards, so that kills hit decoding and writing.
    pixels = np.random.default_rng(0).integers(0, 256, (2400, 40, 40, 3), np.uint8)
    directory = tmp_path / "images"
    directory.mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(directory / f"{number}.png", compress_level=1)
    (directory / "77.png").write_bytes(b"")
    flags = ("--image_size=32", "--images_per_shard=40", "--on_bad_image=skip")

    uninterrupted = run(directory, tmp_path / "uninterrupted", *flags)
    assert uninterrupted.returncode == 0, uninterrupted.stderr

    output = tmp_path / "killed"
    delays = np.random.default_rng(1)
    unfinished = 0
    for _ in range(KILLS):
        before = files(output)
        killed = start(directory, output, *flags)
        killed.wait_for(lambda before=before: files(output) != before)
        time.sleep(delays.uniform(0, 0.15))
        killed.kill()
        killed.wait()
        unfinished += not (output / "manifest.json").exists()
    assert unfinished >= KILLS // 2  # otherwise the kills come too late

    finished = run(directory, output, *flags)
    assert finished.returncode == 0, finished.stderr
    assert contents(output) == contents(tmp_path / "uninterrupted")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--source=portraits", "--output=out"], "--image_size"),
        (
            ["--source=portraits", "--output=out", "--image_size=16", "--resize=pad"],
            "resize=center_crop",
        ),
        (["--source=none", "--output=out", "--image_size=16"], "source=none: not"),
        (["--resize=stretch"], "resize"),
        (["--output=out", "--verify"], "manifest.json"),
    ],
)
def test_user_errors_are_one_line(flags, message, tmp_path):
    finished = runner.run("lada_tf.prepare_data", *flags, directory=tmp_path)
    assert finished.returncode == 2
    (line,) = [x for x in finished.stderr.splitlines() if x.startswith("error:")]
    assert message in line
    assert "Traceback" not in finished.stderr


def test_output_and_verification(tmp_path):
    made = run("portraits", tmp_path / "out", "--image_size=16")
    assert made.returncode == 0, made.stderr
    assert "997 images of 16x16" in made.stdout
    verified = run("portraits", tmp_path / "out", "--verify")
    assert "997 images, all checksums match" in verified.stdout


@pytest.mark.parametrize("output", [[], ["--output=out", "--image_size=32"]])
def test_a_report_is_written_with_or_without_records(tmp_path, output):
    pytest.importorskip("imagehash")
    flags = "--source=portraits", "--held_out=portraits", "--report", *output
    finished = runner.run("lada_tf.prepare_data", *flags, directory=tmp_path)
    assert finished.returncode == 0, finished.stderr
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["images"] == report["held_out"]["num_exact_duplicates"] == 997
    assert "Held-out images: 997" in finished.stdout
    assert (tmp_path / "out").exists() == bool(output)
