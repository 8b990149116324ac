"""How a step is run, by what there is to run it on."""

import os
import subprocess
import sys
import types

import pytest
import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.models import get_preset
from lada_tf.training.execution import compiles, describe_execution, overlaps
from lada_tf.training.options import TrainingOptions

ONE = tf.distribute.get_strategy()
TWO = types.SimpleNamespace(num_replicas_in_sync=2)
TINY, CIFAR10 = get_preset("tiny"), get_preset("cifar10")


@pytest.mark.parametrize(
    ("preset", "options", "strategy", "expected"),
    [
        (TINY, {}, ONE, True),
        (CIFAR10, {}, ONE, False),  # no gain, and more memory
        (TINY, {}, TWO, False),
        (TINY, {"gradient_accumulation_steps": 2}, ONE, False),
        (TINY, {"gradient_checkpointing": True}, ONE, False),
        (TINY, {"jit_compile": True}, ONE, False),  # XLA has an order of its own
        (CIFAR10, {"overlap": True}, ONE, True),
        (TINY, {"overlap": False}, ONE, False),
    ],
)
def test_when_parts_of_a_step_overlap(preset, options, strategy, expected):
    assert overlaps(preset, TrainingOptions(**options), strategy) == expected


def test_on_a_gpu_steps_are_a_graph_in_order_unless_asked(monkeypatch):
    devices = ["a GPU"]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: devices)
    assert not compiles(TrainingOptions(), ONE)
    assert not overlaps(TINY, TrainingOptions(), ONE)
    assert compiles(TrainingOptions(jit_compile=True), ONE)
    assert compiles(TrainingOptions(jit_compile=True), TWO)


def test_the_log_says_what_was_chosen_and_why():
    cores = os.cpu_count()
    assert describe_execution(TINY, TrainingOptions(), ONE) == (
        f"the processor ({cores} cores), as a graph (--jit_compile=auto: on processors "
        "XLA starts later and is no faster), independent parts at once "
        "(--overlap=auto: at most 128 channels)"
    )
    asked = TrainingOptions(jit_compile=False, overlap=True)
    expected = f"the processor ({cores} cores), as a graph, independent parts at once"
    assert describe_execution(CIFAR10, asked, ONE) == expected


def test_replicas_cannot():
    with pytest.raises(UserError, match="--overlap=true: several replicas"):
        overlaps(TINY, TrainingOptions(overlap=True), TWO)
    with pytest.raises(UserError, match="--jit_compile=true: XLA has no"):
        compiles(TrainingOptions(jit_compile=True), TWO)


PRINTS_THREADS = """
import os
import sys
import tensorflow as tf
from lada_tf.models import get_preset
from lada_tf.training.execution import share_cores
from lada_tf.training.options import TrainingOptions

def threads(preset, **options):
    share_cores(get_preset(preset), TrainingOptions(**options),
    tf.distribute.get_strategy()) return
    tf.config.threading.get_intra_op_parallelism_threads()

if "late" in sys.argv:
    tf.zeros(1)
print(threads("cifar10", overlap=True))
print(threads("tiny", overlap=False))
print(threads("tiny", overlap=True, jit_compile=True))
os.environ["TF_NUM_INTRAOP_THREADS"] = "3"
print(threads("tiny"))
del os.environ["TF_NUM_INTRAOP_THREADS"]
print(threads("tiny"))
"""


@pytest.mark.parametrize("when", ["early", "late"])
def test_operations_of_small_networks_have_half_of_the_cores(when):
    printed = subprocess.run(
        [sys.executable, "-c", PRINTS_THREADS, when],
        capture_output=True,
        text=True,
        check=True,
    )
    half = max(1, (os.cpu_count() or 1) // 2)
    all_of_them = 0  # TensorFlow's own choice
    *others, last = map(int, printed.stdout.split())
    assert others == [all_of_them] * 4
    assert last == (half if when == "early" else all_of_them)
