"""Process-wide state: TensorFlow's import and settings, garbage collection, threads."""

import collections
import contextlib
import gc
import itertools
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from lada_tf.errors import UserError

Input = TypeVar("Input")
Output = TypeVar("Output")
# Reading and decoding one small image costs less than submitting a task.
_ITEMS_PER_TASK = 16

# Largest seed of `keras.utils.set_random_seed`, which seeds NumPy with it.
MAX_SEED = 2**32 - 1


def import_tensorflow_quietly() -> None:
    """Import TensorFlow without its log lines on stderr, for commands.

    TensorFlow's native code logs before its log level applies, so this function
    redirects file descriptor 2 during the import. If the import fails, it prints them.

    Raises:
        UserError: if there is no directory for temporary files.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"  # commands need it
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115
    except OSError as error:  # TensorFlow's import needs one too
        raise UserError(
            f"no temporary directory ({error.strerror}). Set the environment variable "
            "TMPDIR to a directory that can be written"
        ) from error
    stderr = os.dup(2)
    with file as log, without_garbage_collection():
        os.dup2(log.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()  # loads CUDA, which logs too
        except Exception:
            log.seek(0)
            os.write(stderr, log.read())
            raise
        finally:
            gc.freeze()  # the imported objects live until the process ends
            os.dup2(stderr, 2)
            os.close(stderr)


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Turn off garbage collection, for code that creates many long-lived objects.

    Examples are imports and tracing. The collector would scan these objects repeatedly.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def without_grappler() -> Iterator[None]:
    """Turn off Grappler, TensorFlow's graph optimizer.

    On CPUs, optimizing the graph of the training step takes a seventh of the time until
    the first step ends, and does not make steps faster.
    """
    import tensorflow as tf

    options = tf.config.optimizer
    before = options.get_experimental_options().get("disable_meta_optimizer", False)
    options.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        options.set_experimental_options({"disable_meta_optimizer": before})


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """Turn off TF32, for results that must not depend on the machine.

    By default, TensorFlow rounds the inputs of float32 matmuls to 10 mantissa bits on
    NVIDIA GPUs since Ampere.
    """
    import tensorflow as tf

    enabled = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(enabled)


def assume_frozen_weights() -> None:
    """Let oneDNN keep a reordered copy of each weight, for commands that do not train.

    Otherwise oneDNN, TensorFlow's CPU library, reorders the weights in every call. For
    one image, this takes a fifth of the time with bfloat16 weights, and almost no time
    with float32 weights. Call this function before TensorFlow's first operation.
    """
    os.environ.setdefault("TF_ONEDNN_ASSUME_FROZEN_WEIGHTS", "1")


def split_cpu(num_devices: int) -> None:
    """Split the CPU into virtual devices, before TensorFlow's first operation."""
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * num_devices,
    )


def parallel_map(
    function: Callable[[Input], Output], items: Iterable[Input]
) -> Iterator[Output]:
    """Yield `function(item)` for each item in order. Threads compute them ahead."""
    iterator = iter(items)
    num_threads = 2 * (os.cpu_count() or 1)  # half of them may be waiting for files
    pending: collections.deque[Future] = collections.deque()
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="parallel_map")
    try:
        while task := list(itertools.islice(iterator, _ITEMS_PER_TASK)):
            pending.append(pool.submit(lambda task: list(map(function, task)), task))
            if len(pending) > 2 * num_threads:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        # Waiting could deadlock: garbage collection may run this in a worker thread.
        pool.shutdown(wait=False, cancel_futures=True)


def progress_bar(
    items: Iterable | None, total: int, description: str, initial: int = 0
) -> Any:
    """Return a `tqdm` bar. A terminal shows it if the work takes over two seconds."""
    from tqdm import tqdm

    return tqdm(
        items, description, total, unit="image", initial=initial, delay=2, disable=None
    )
