"""metrics.jsonl survives a crash, and a resumed run continues it."""

import json
import os
import stat

import pytest

from lada_tf.training.run_directory import RunDirectory, read_metrics
from lada_tf.training.run_log import RunLog


def test_metrics_are_synced_before_a_checkpoint_can_follow(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number)))
    directory = RunDirectory(tmp_path)
    for images in (10, 20):
        RunLog(directory).write(images, {"d_loss": 1.0})
        assert directory.metrics_file.stat() in synced
    assert any(stat.S_ISDIR(state.st_mode) for state in synced)  # of the new file


TORN = (b'{"images": 4', b"\x00" * 9, b"\xff", b"7", b"[]", b"{}", b'{"images": "x"}')


@pytest.mark.parametrize("line", TORN)
def test_torn_metrics_are_left_out(tmp_path, line):
    directory = RunDirectory(tmp_path)
    assert read_metrics(directory.metrics_file) == []
    directory.metrics_file.write_bytes(line + b"\n")
    RunLog(directory).write(10, {"d_loss": 1.0})
    with directory.metrics_file.open("ab") as file:
        file.write(line)
    assert read_metrics(directory.metrics_file) == [{"images": 10, "d_loss": 1.0}]
    RunLog(directory).truncate(10)
    assert directory.metrics_file.read_text() == '{"images": 10, "d_loss": 1.0}\n'


def test_metrics_are_truncated_to_the_checkpoint(tmp_path):
    directory = RunDirectory(tmp_path)
    for images in (10, 20, 30):
        RunLog(directory).write(images, {"d_loss": 1.0})
    with directory.metrics_file.open("a") as file:
        file.write('{"images": 4')  # a line torn by the end of the process
    RunLog(directory).truncate(20)
    lines = directory.metrics_file.read_text().splitlines()
    assert [json.loads(line)["images"] for line in lines] == [10, 20]


def test_new_values_are_taken_once(tmp_path):
    log = RunLog(RunDirectory(tmp_path))
    log.write(10, {"d_loss": 1.0})
    log.write(20, {"KID": 0.1})
    assert log.take_new() == {"d_loss": 1.0, "KID": 0.1}
    assert log.take_new() == {}
    log.write(30, {"d_loss": 1.0})
    log.truncate(20)  # in a rollback
    assert log.take_new() == {}
