"""The authors' code as a benchmark's worker; runs in an environment of its own.

Settings: `path`, a checkout of their TensorFlow code; `preset`, our configuration as a
dict; `batch_size`; `jit_compile`. Their classes are used as their train.py does.
"""

import contextlib
import sys
import time
import types

import tensorflow as tf

from benchmarks.worker import peak_mb, reset_peak, serve


def start_training(settings):
    trainer, real = make_trainer(settings)
    step = trainer.train_step
    if not settings["jit_compile"]:
        step = tf.function(step.python_function.__get__(trainer))

    def train(steps):
        reset_peak()
        begin = time.perf_counter()
        for _ in range(steps):
            step(real)
        trainer.train_metrics["g_loss"].result().numpy()
        return {"seconds": time.perf_counter() - begin, "peak_mb": peak_mb()}

    first = train(1)
    return {"tensorflow": tf.__version__, "peak_mb": first["peak_mb"]}, {"train": train}
