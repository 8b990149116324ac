"""Run directories: one process, one configuration, atomic writes."""

import dataclasses
import errno
import json
import os
import subprocess
import sys

import pytest
import tensorflow as tf

from lada_tf.errors import UserError, WorkerLost
from lada_tf.models import PRESETS
from lada_tf.training.run_directory import RunDirectory
from lada_tf.training.run_log import RunLog

PRESET = PRESETS["tiny"]
OPTIONS = {"seed": 0, "flip": False, "log_images": 100}


def test_the_preset_and_settings_are_stored(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    directory.start(PRESET, OPTIONS, "portraits:1")
    assert RunDirectory(tmp_path / "run").read_preset() == PRESET
    assert RunDirectory(tmp_path / "run").read_setting("seed", "") == "0"


@pytest.mark.parametrize(
    ("preset", "options", "data", "difference"),
    [
        ({"r1_gamma": 1.0}, {}, "portraits:1", "r1_gamma was 0.01, now 1.0"),
        ({"batch_size": 8}, {}, "portraits:1", "batch_size was 16, now 8"),
        ({}, {"seed": 1}, "portraits:1", "seed was 0, now 1"),
        ({}, {"flip": True}, "portraits:1", "flip was false, now true"),
        ({}, {}, "folder:2", "data fingerprint was portraits:1, now folder:2"),
    ],
)
def test_other_settings_are_rejected(tmp_path, preset, options, data, difference):
    start_and_release(tmp_path, PRESET, OPTIONS, "portraits:1")
    before = (tmp_path / "flags.cfg").read_bytes()
    with pytest.raises(UserError, match=f"other settings .*{difference}"):
        RunDirectory(tmp_path).start(
            dataclasses.replace(PRESET, **preset), {**OPTIONS, **options}, data
        )
    assert (tmp_path / "flags.cfg").read_bytes() == before


def test_the_resize_is_compared_once_the_data_decided_it(tmp_path):
    cropped = dataclasses.replace(PRESET, resize="center_crop")
    start_and_release(tmp_path, cropped, OPTIONS, "folder:1")
    directory = RunDirectory(tmp_path)
    directory.check(dataclasses.replace(PRESET, resize=""), OPTIONS)
    with pytest.raises(UserError, match="resize was center_crop, now plain"):
        directory.check(dataclasses.replace(PRESET, resize="plain"), OPTIONS)


def test_a_run_without_a_resize_may_get_that_of_its_data(tmp_path):
    """Runs of earlier versions, and imported ones, may lack it."""
    start_and_release(tmp_path, dataclasses.replace(PRESET, resize=""), OPTIONS)
    cropped = dataclasses.replace(PRESET, resize="center_crop")
    RunDirectory(tmp_path).check(cropped, OPTIONS)


def test_length_intervals_and_data_path_may_change(tmp_path):
    start_and_release(tmp_path, PRESET, OPTIONS, "portraits:1")
    longer = dataclasses.replace(PRESET, total_images=10**6, data="/elsewhere")
    start_and_release(tmp_path, longer, {**OPTIONS, "log_images": 7}, "portraits:1")
    assert RunDirectory(tmp_path).read_preset() == longer


def test_settings_that_only_read_the_data_may_change(tmp_path):
    source = {"on_bad_image": "skip", "memory_limit_mb": 1, "cache_dir": "/a"}
    start_and_release(tmp_path, PRESET, OPTIONS | source, "portraits:1")
    assert RunDirectory(tmp_path).read_setting("on_bad_image", "") == "skip"
    source = {"on_bad_image": "error", "memory_limit_mb": 2, "download": True}
    start_and_release(tmp_path, PRESET, OPTIONS | source, "portraits:1")


@pytest.mark.parametrize("data", ["a\nb", "a\rb"])
def test_a_line_break_is_refused_before_anything_is_written(data, tmp_path):
    preset = dataclasses.replace(PRESET, data=data)
    with pytest.raises(UserError, match=r"data=.*line break"):
        RunDirectory(tmp_path / "run").start(preset, OPTIONS)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("data", ["caf\udce9", "\u03b2 \u2028\x85\x0c", "a=b --c #d"])
def test_any_other_name_is_stored(data, tmp_path):
    preset = dataclasses.replace(PRESET, data=data)
    start_and_release(tmp_path, preset, OPTIONS)
    start_and_release(tmp_path, preset, OPTIONS)
    assert RunDirectory(tmp_path).read_preset() == preset


def test_run_directories_have_names_in_utf8(tmp_path):
    with pytest.raises(UserError, match="run_dir="):
        RunDirectory(tmp_path / "caf\udce9")


def start_and_release(path, *arguments):
    directory = RunDirectory(path)
    directory.start(*arguments)
    directory.release_lock()


@pytest.mark.slow
def test_a_second_process_is_rejected_until_the_first_ends(tmp_path):
    code = (
        "import sys; from lada_tf.training.run_directory import RunDirectory;"
        "from lada_tf.models import PRESETS;"
        "directory = RunDirectory(sys.argv[1]);"
        "directory.start(PRESETS['tiny'], {'seed': 0});"
        "print('started', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert holder.stdout.readline() == b"started\n"
    with pytest.raises(UserError, match=f"process {holder.pid} on .* is training here"):
        RunDirectory(tmp_path).start(PRESET, {"seed": 0})
    holder.kill()
    holder.wait()
    RunDirectory(tmp_path).start(PRESET, {"seed": 0})


def test_a_directory_with_other_files_is_unchanged(tmp_path):
    (tmp_path / "thesis.tex").write_text("...")
    with pytest.raises(UserError, match=r"contains 'thesis.tex' but no run"):
        RunDirectory(tmp_path).start(PRESET, OPTIONS)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(UserError, match="no run there"):
        RunDirectory(tmp_path).read_preset()
    for method in (RunDirectory.check, RunDirectory.start):
        with pytest.raises(UserError, match="cannot be written"):
            method(RunDirectory(tmp_path / "thesis.tex" / "run"), PRESET, OPTIONS)


def test_a_first_start_that_was_interrupted_is_repeated(tmp_path, monkeypatch):
    """flags.cfg is written first, so an interrupted start can be repeated."""
    path = tmp_path / "run"

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    for function in ("os.replace", "pathlib.Path.mkdir", "os.fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(function, fail)
            failed = RunDirectory(path)  # kept, as by a traceback in a notebook
            with pytest.raises(UserError, match=r"cannot be written \(No space"):
                failed.start(PRESET, OPTIONS)
        if path.exists():
            RunDirectory(path).check(PRESET, OPTIONS)
            start_and_release(path, PRESET, OPTIONS)
            (path / "flags.cfg").unlink()
    # An older version made the directories first, and was killed.
    (path / ".flags.cfg.123.partial").write_text("torn")
    start_and_release(path, PRESET, OPTIONS)
    assert not list(path.glob(".*"))
    (path / "flags.cfg").unlink()
    (path / "samples" / "grid.png").touch()
    with pytest.raises(UserError, match="contains 'samples' but no run"):
        RunDirectory(path).start(PRESET, OPTIONS)


def test_check_finds_what_start_finds_and_writes_nothing(tmp_path, monkeypatch):
    directory = RunDirectory(tmp_path / "new" / "run")
    directory.check(PRESET, OPTIONS)
    assert not (tmp_path / "new").exists()
    directory.start(PRESET, OPTIONS, "portraits:1")
    before = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))
    other = RunDirectory(directory.path)
    with pytest.raises(UserError, match=r"process \d+ on .* is training here"):
        other.check(PRESET, OPTIONS)
    directory.release_lock()
    other.check(PRESET, OPTIONS, "portraits:1")
    with pytest.raises(UserError, match="seed was 0, now 1"):
        other.check(PRESET, {**OPTIONS, "seed": 1})
    with pytest.raises(UserError, match="data fingerprint was"):
        other.check(PRESET, OPTIONS, "portraits:2")
    monkeypatch.setattr("os.access", lambda *_: False)
    for method in (other.check, other.start):
        with pytest.raises(UserError, match=r"cannot be written \("):
            method(PRESET, OPTIONS)
    assert before == sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))


def torn_flags(text, how):
    lines = text.splitlines(keepends=True)
    return {
        "empty": "",
        "half": text[: len(text) // 2],
        "no seed": "".join(s for s in lines if "seed" not in s),
        "no fingerprint": "".join(lines[:-1]),
        "no preset": "".join(s for s in lines if "g_widths" not in s),
    }[how]


@pytest.mark.parametrize(
    "how", ["empty", "half", "no seed", "no fingerprint", "no preset"]
)
def test_a_run_with_torn_settings_is_not_resumed(tmp_path, how):
    start_and_release(tmp_path, PRESET, OPTIONS, "portraits:1")
    file = tmp_path / "flags.cfg"
    torn = torn_flags(file.read_text(), how)
    file.write_text(torn)
    for method in (RunDirectory.check, RunDirectory.start):
        with pytest.raises(UserError, match=r"flags\.cfg: \S+( \S+)? is missing"):
            method(RunDirectory(tmp_path), PRESET, OPTIONS, "portraits:1")
    assert file.read_text() == torn


@pytest.mark.parametrize("content", [None, "pipe", b"\xff\xfe\x00", b"\x00" * 99])
def test_settings_that_cannot_be_read_are_one_line(tmp_path, content):
    file = tmp_path / "flags.cfg"
    if content is None:
        file.mkdir()
    elif content == "pipe":
        os.mkfifo(file)
    else:
        file.write_bytes(content)
    for method in (RunDirectory.check, RunDirectory.start):
        with pytest.raises(UserError, match=r"flags\.cfg: "):
            method(RunDirectory(tmp_path), PRESET, OPTIONS, "portraits:1")
    with pytest.raises(UserError, match=r"flags\.cfg: "):
        RunDirectory(tmp_path).read_preset()


@pytest.mark.parametrize("name", ["lock", "checkpoints", "samples", "logs"])
def test_files_and_directories_in_the_wrong_place_are_one_line(tmp_path, name):
    start_and_release(tmp_path, PRESET, OPTIONS)
    path = tmp_path / name
    if name == "lock":
        path.unlink()
        path.mkdir()
    else:
        path.rmdir()
        path.touch()
    with pytest.raises(UserError, match=rf"run_dir={tmp_path}: .*{path}: "):
        RunDirectory(tmp_path).start(PRESET, OPTIONS)


@pytest.mark.parametrize("left", ["metrics", "samples", "neither"])
def test_a_run_without_its_checkpoints_does_not_start_again(tmp_path, left):
    start_and_release(tmp_path, PRESET, OPTIONS)
    directory = RunDirectory(tmp_path)
    if left == "metrics":
        RunLog(directory).write(10, {"d_loss": 1.0})
    if left == "samples":
        (directory.samples / "grid-0000000000.png").touch()
    start_and_release(tmp_path, PRESET, OPTIONS)  # killed before its first checkpoint
    directory.checkpoints.rmdir()
    if left == "neither":
        start_and_release(tmp_path, PRESET, OPTIONS)
        return
    for method in (RunDirectory.check, RunDirectory.start):
        with pytest.raises(UserError, match="no checkpoints/"):
            method(RunDirectory(tmp_path), PRESET, OPTIONS)
    assert not directory.checkpoints.exists()


def test_errors_of_other_files_are_not_those_of_the_run(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    for error in (
        FileNotFoundError(errno.ENOENT, "No such file", "/data/1.png"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        WorkerLost("gone"),
        tf.errors.UnavailableError(None, None, "gone"),
    ):
        with pytest.raises(type(error)), directory.reporting_errors(only_own=True):
            raise error
    for error in (
        FileNotFoundError(errno.ENOENT, "No such file", f"{directory.path}/logs"),
        tf.errors.PermissionDeniedError(None, None, f"{directory.path}/logs: denied"),
        tf.errors.UnknownError(None, None, "x; No space left on device"),
        OSError(errno.ENOSPC, "No space left on device"),
    ):
        with (
            pytest.raises(UserError, match=f"run_dir={directory.path}: cannot be"),
            directory.reporting_errors(only_own=True),
        ):
            raise error


def test_reports_of_one_step_are_all_kept(tmp_path):
    directory = RunDirectory(tmp_path)
    facts = [{"seed": seed, "d_loss": float("nan")} for seed in (0, 1, 2, 1)]
    paths = [directory.write_nonfinite(3, **values) for values in facts]
    assert len(set(paths)) == 3
    assert [json.loads(path.read_text())["seed"] for path in paths] == [0, 1, 2, 1]
    assert len(list(tmp_path.glob("nonfinite-*"))) == 3


def test_temporary_files_of_a_killed_process_are_deleted(tmp_path):
    start_and_release(tmp_path, PRESET, OPTIONS)
    left = [
        path / ".grid.png.0123.partial" for path in (tmp_path, tmp_path / "samples")
    ]
    for path in left:
        path.touch()
    start_and_release(tmp_path, PRESET, OPTIONS)
    assert not any(path.exists() for path in left)
