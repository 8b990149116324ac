"""Two worker processes on this machine: one is killed, and both resume."""

import json
import os
import subprocess
import sys
import time

import pytest

from tests.runner import free_ports
from tests.test_apps import TINY

pytestmark = pytest.mark.slow

WORKERS = (*TINY, "--total_images=160", "--checkpoint_images=8")


def start(run_dirs, *arguments):
    """Start two workers. Return a (process, log file) for each."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    workers = []
    for index, run_dir in enumerate(run_dirs):
        task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        log = run_dir.with_name(f"worker-{index}.log")
        flags = (*WORKERS, "--strategy=multi_worker", f"--run_dir={run_dir}")
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "lada_tf.train", *flags, *arguments],
                env=os.environ | {"TF_CONFIG": json.dumps(task)},
                stdout=file,
                stderr=file,
            )
        workers.append((process, log))
    return workers


def finish(workers):
    return [process.wait(timeout=240) for process, _ in workers]


def wait_for_checkpoint(run_dir, images):
    deadline = time.monotonic() + 240
    while not any(run_dir.glob(f"checkpoints/images-*{images:05d}")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def checksums(run_dir):
    newest = max(run_dir.glob("checkpoints/images-*"))
    return newest.name, json.loads((newest / "manifest.json").read_text())["sha256"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    workers = start([folder, folder])
    assert finish(workers) == [0, 0], [log.read_text() for _, log in workers]
    return folder


def test_a_lost_worker_ends_the_other_and_both_resume(undisturbed, tmp_path):
    folder = tmp_path / "run"
    workers = start([folder, folder])
    wait_for_checkpoint(folder, 8)
    workers[1][0].terminate()  # ignored: the first worker saves for all
    workers[1][0].kill()
    assert finish(workers) == [75, -9]
    log = workers[0][1].read_text()
    assert "error: another worker is gone. Restart all workers" in log

    workers = start([folder, folder])
    assert finish(workers) == [0, 0]
    assert all("resuming from" in log.read_text() for _, log in workers)
    assert checksums(folder) == checksums(undisturbed)
    metrics = (folder / "metrics.jsonl").read_text()
    assert metrics == (undisturbed / "metrics.jsonl").read_text()


def test_workers_with_different_checkpoints_are_rejected(undisturbed, tmp_path):
    workers = start([undisturbed, tmp_path / "elsewhere"], "--total_images=800")
    assert finish(workers) == [2, 2]
    for _, log in workers:
        assert "the workers found different checkpoints" in log.read_text()
