"""Choose between fast kernels and the reference."""

import contextlib
import contextvars
from collections.abc import Iterator

import keras

from lada_tf.kernels.xla_kernel import cpu_only_with_xla, xla_is_available

_enabled: contextvars.ContextVar[bool | None] = contextvars.ContextVar(
    "lada_tf.kernels.fast", default=None
)


@contextlib.contextmanager
def fast(enabled: bool = True) -> Iterator[None]:
    """Allow fast kernels for the operations that the body calls or traces.

    The training step opens this context. Of nested contexts, the outermost one decides:
    `with fast(False):` around a training step traces it with the reference. New
    threads, such as those of `tf.distribute`, do not inherit the context. Backends
    other than TensorFlow always use the reference.

    Args:
        enabled: bool. If False, use the reference, even in nested contexts.
    """
    token = _enabled.set(enabled if _enabled.get() is None else _enabled.get())
    try:
        yield
    finally:
        _enabled.reset(token)


def is_fast() -> bool:
    """Return whether fast kernels are allowed in the current context."""
    return bool(_enabled.get()) and keras.backend.backend() == "tensorflow"


def is_fast_on_cpu() -> bool:
    """Return whether to use kernels that are faster on CPUs only."""
    return is_fast() and cpu_only_with_xla()


def is_fast_on_gpu() -> bool:
    """Return whether to use kernels that save launches, which take time on GPUs."""
    return is_fast() and not cpu_only_with_xla() and xla_is_available()
