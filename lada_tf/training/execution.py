"""How steps are run on the devices at hand: compiled or not, in turn or at once."""

import contextlib
import os

import tensorflow as tf

from lada_tf.errors import UserError
from lada_tf.models import Preset
from lada_tf.training.options import TrainingOptions

# Of networks with no more channels than this, an operation is too small to be shared by
# all cores of a processor.
FEW_CHANNELS = 128


def compiles(options: TrainingOptions, strategy: tf.distribute.Strategy) -> bool:
    """Whether XLA is to compile the step; where left to us, it is not.

    On processors a graph's steps are as fast. On GPUs its first comes within half a
    minute or so, while XLA tries out products for minutes (docs/performance.md).

    Raises:
        UserError: if it cannot.
    """
    if options.jit_compile == "auto":
        return False
    on_processors = not tf.config.list_physical_devices("GPU")
    if options.jit_compile and strategy.num_replicas_in_sync > 1 and on_processors:
        raise UserError(
            "--jit_compile=true: XLA has no communication between CPU replicas"
        )
    return bool(options.jit_compile)


def overlaps(
    preset: Preset, options: TrainingOptions, strategy: tf.distribute.Strategy
) -> bool:
    """Whether parts of a step are to be computed at once, see `LadaGAN.compile`.

    Raises:
        UserError: if they cannot be.
    """
    replicas = strategy.num_replicas_in_sync
    if options.overlap == "auto":
        saves_memory = (
            options.gradient_accumulation_steps > 1 or options.gradient_checkpointing
        )
        return (
            replicas == 1
            and not saves_memory
            and not tf.config.list_physical_devices("GPU")
            and not compiles(options, strategy)
            and _few_channels(preset)
        )
    if options.overlap and replicas > 1:
        raise UserError(
            "--overlap=true: several replicas have to talk in the same order on each"
        )
    return bool(options.overlap)


def share_cores(
    preset: Preset, options: TrainingOptions, strategy: tf.distribute.Strategy
) -> None:
    """Halves an operation's cores where parts of small networks' graphs overlap.

    To be called before TensorFlow runs its first operation; later, or where the
    environment has TF_NUM_INTRAOP_THREADS, it changes nothing.
    """
    if (
        not (_few_channels(preset) and overlaps(preset, options, strategy))
        or compiles(options, strategy)
        or os.environ.get("TF_NUM_INTRAOP_THREADS")
    ):
        return
    cores = max(1, (os.cpu_count() or 1) // 2)
    with contextlib.suppress(RuntimeError):  # it runs already
        tf.config.threading.set_intra_op_parallelism_threads(cores)


def describe_execution(
    preset: Preset, options: TrainingOptions, strategy: tf.distribute.Strategy
) -> str:
    """How a step is run, on what, and why so, in words."""
    words = [describe_devices(strategy), _describe_compilation(options, strategy)]
    if overlaps(preset, options, strategy):
        reason = f" (--overlap=auto: at most {FEW_CHANNELS} channels)"
        words.append("independent parts at once" + reason * (options.overlap == "auto"))
    return ", ".join(words)


def describe_devices(strategy: tf.distribute.Strategy) -> str:
    """The devices that a step runs on, in words."""
    replicas = strategy.num_replicas_in_sync
    times = f"{replicas} replicas on " if replicas > 1 else ""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"{times}the processor ({os.cpu_count()} cores)"
    details = tf.config.experimental.get_device_details(gpus[0])
    return times + details.get("device_name", "a GPU")


def _few_channels(preset):
    widths = preset.g_widths + preset.d_widths + preset.d_out_widths
    return max(widths + preset.decoder_widths) <= FEW_CHANNELS


def _describe_compilation(options, strategy):
    chosen = "compiled by XLA" if compiles(options, strategy) else "as a graph"
    if options.jit_compile != "auto":
        return chosen
    if tf.config.list_physical_devices("GPU"):
        reason = "XLA takes minutes until the first step"
    else:
        reason = "on processors XLA starts later and is no faster"
    return f"{chosen} (--jit_compile=auto: {reason})"
