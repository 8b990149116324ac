"""Kill commands at their operations on files, and check that the results do not change.

    python -m experiments.kill_points
    python -m experiments.kill_points --points=20

The commands are `train` with 1 or 2 checkpoints, `prepare_data` and `export`. Each one
first runs to its end, and we count its operations: opening a file for writing, syncing,
renaming and removing files, making directories, and what TensorFlow writes. Then
SIGKILL ends the command just before one of these operations; the kills are evenly
spaced. The same command must then succeed, or find its export complete. Its
checkpoints, metrics, pictures, records and models must be equal bit by bit, without
additional files. Prints one line per command, and the totals.

Cost: 100 kills take about 10 minutes on 2 CPU cores.
Expected: `identical` equals `kills`.
"""

from lada_tf import app  # first: it imports TensorFlow without its log lines

# isort: split
import itertools
import json
import os
import runpy
import shutil
import signal
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import flags

from tests.runner import Process
from tests.small import SMALL_FLAGS

POINTS = flags.DEFINE_integer("points", 100, "Number of kills.", lower_bound=4)

# Audit events of Python, https://docs.python.org/3/library/audit_events.html.
EVENTS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
TRAIN = (
    *SMALL_FLAGS,
    "--total_images=24",
    "--log_images=4",
    "--sample_images=12",
    "--checkpoint_images=8",
)


def main() -> None:
    kills = identical = 0
    with tempfile.TemporaryDirectory() as directory:
        shared = Path(directory, "shared")
        shared.mkdir()
        commands = list(prepared_commands(shared))
        for number, (name, module, arguments) in enumerate(commands):
            quota = POINTS.value // len(commands) + (
                number < POINTS.value % len(commands)
            )
            more = check(Path(directory, name), module, arguments, quota)
            kills, identical = kills + more[0], identical + more[1]
            print(f"{name}: {more[0]} kills, {more[1]} identical", flush=True)
    print(json.dumps({"kills": kills, "identical": identical}))
    sys.exit(kills != identical)


def prepared_commands(shared: Path) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Write the commands' inputs. Yield the name, module and arguments of each command.

    `{}` in an argument stands for the directory of a run.
    """
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    np.save(shared / "images.npy", images)
    train = (*TRAIN, f"--data={shared / 'images.npy'}")
    for keep in (1, 2):
        flag = f"--keep_checkpoints={keep}"
        yield f"train-{keep}", "lada_tf.train", (*train, flag, "--run_dir={}/run")
    records = (f"--source={shared / 'images.npy'}", "--image_size=16")
    shards = ("--images_per_shard=3", "--output={}/records")
    yield "prepare_data", "lada_tf.prepare_data", records + shards
    run(0, shared, "lada_tf.train", (*train, f"--run_dir={shared / 'run'}"))
    export = (f"--run_dir={shared / 'run'}", "--output={}/models/model")
    yield "export-hub", "lada_tf.export", (*export, "--hub_layout")
    keras = (*export[:1], "--output={}/model.keras", "--format=keras")
    yield "export-keras", "lada_tf.export", keras


def check(
    directory: Path, module: str, arguments: tuple[str, ...], quota: int
) -> tuple[int, int]:
    """Kill a command `quota` times. Return the numbers of kills and equal results."""
    expected_directory = directory / "expected"
    total = run(0, expected_directory, module, arguments)
    expected = results(expected_directory)
    quota = min(quota, total)
    points = [1 + int(total * (i + 0.5) / quota) for i in range(quota)]
    identical = 0
    for point in points:
        killed = directory / "killed"
        run(point, killed, module, arguments)
        try:
            run(0, killed, module, arguments)
            found = results(killed)
            differences = [
                n for n in found | expected if found.get(n) != expected.get(n)
            ]
            assert not differences, f"differences in {differences}"
            identical += 1
        except AssertionError as error:
            print(f"{module}, killed at operation {point}: {error}", flush=True)
        shutil.rmtree(killed)
    return len(points), identical


def run(point: int, directory: Path, module: str, arguments: tuple[str, ...]) -> int:
    """Run a command, and kill it at operation `point`. Return its operations.

    With 0, the command runs to its end. After a kill, the returned number is 0.
    """
    directory.mkdir(parents=True, exist_ok=True)
    count = directory.with_name(f"{directory.name}-count")
    filled = tuple(argument.replace("{}", str(directory)) for argument in arguments)
    command = (point, str(directory), str(count), module, filled)
    result = Process(f"{module} {point}", run_until, command, directory).wait()
    expected = -signal.SIGKILL if point else 0
    # `export` refuses to replace an export that was complete before the kill.
    is_complete = not point and "already exists" in result.stderr
    assert result.returncode == expected or is_complete, result.stderr
    return 0 if point else int(count.read_text("utf-8"))


def run_until(
    point: int, root: str, count: str, module: str, arguments: tuple[str, ...]
) -> None:
    """Run a module in this process. Kill the process at one of its operations."""
    numbers = itertools.count(1)

    def operation() -> None:
        if next(numbers) == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(function: Any, after: bool = False) -> Any:
        def call(*args, **kwargs):
            operation()
            result = function(*args, **kwargs)
            if after:
                operation()
            return result

        return call

    def hook(event: str, args: tuple) -> None:
        is_write = args[2] & WRITING if event == "open" else event in EVENTS
        # shutil.rmtree passes names relative to the descriptor of their directory.
        is_relative = event in ("os.remove", "os.rmdir") and args[-1] != -1
        if is_write and (str(args[0]).startswith(root) or is_relative):
            operation()

    sys.addaudithook(hook)
    os.fsync = counted(os.fsync)
    tf.train.Checkpoint.write = counted(tf.train.Checkpoint.write, after=True)
    tf.io.TFRecordWriter.write = counted(tf.io.TFRecordWriter.write)
    tf.config.run_functions_eagerly(module == "lada_tf.train")  # tracing takes longer
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        Path(count).write_text(str(next(numbers) - 1), "utf-8")


def results(directory: Path) -> dict[str, Any]:
    """Return the content of all files by name, except for logs, locks and model cards.

    Model cards differ, because they contain the speed.
    """
    content: dict[str, Any] = {}
    for path in directory.rglob("*"):
        name = str(path.relative_to(directory))
        if path.suffix == ".keras" and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                names = set(file.namelist()) - {"metadata.json"}
                content |= {f"{name}/{n}": file.read(n) for n in sorted(names)}
        elif path.is_file() and path.name != "lock" and path.suffix != ".md":
            content[name] = path.read_bytes()
    content = {n: c for n, c in content.items() if not n.startswith("run/logs/")}
    return content


if __name__ == "__main__":
    app.run(main)
