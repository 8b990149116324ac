"""The prepare_data command; experiments/test_kill_points.py kills it."""

import json

import pytest

from tests import runner

pytestmark = pytest.mark.slow


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
    paths = "--source=portraits", f"--output={tmp_path / 'out'}"
    made = runner.succeed("lada_tf.prepare_data", *paths, "--image_size=16")
    assert "997 images of 16x16" in made
    verified = runner.succeed("lada_tf.prepare_data", *paths, "--verify")
    assert "997 images, all checksums match" in verified


@pytest.mark.parametrize("output", [[], ["--output=out", "--image_size=32"]])
def test_a_report_is_written_with_or_without_records(tmp_path, output):
    pytest.importorskip("imagehash")
    flags = "--source=portraits", "--held_out=portraits", "--report", *output
    printed = runner.succeed("lada_tf.prepare_data", *flags, directory=tmp_path)
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["images"] == report["held_out"]["num_exact_duplicates"] == 997
    assert "Held-out images: 997" in printed
    assert (tmp_path / "out").exists() == bool(output)
