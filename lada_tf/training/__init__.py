"""Training: run directories, checkpoints, callbacks, and the authors' checkpoints."""

from lada_tf.training.configuration import TrainingOptions
from lada_tf.training.load import load_run
from lada_tf.training.official_checkpoint import load_official_checkpoint
from lada_tf.training.parent import Parent
from lada_tf.training.trainer import train

__all__ = [
    "Parent",
    "TrainingOptions",
    "load_official_checkpoint",
    "load_run",
    "train",
]
