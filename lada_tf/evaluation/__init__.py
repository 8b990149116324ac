"""The paper's five metrics, as the guided-diffusion (ADM) evaluator defines them.

FID and sFID are `frechet_distance` on two kinds of Inception features. KID, density and
coverage are those of the packages `torch-fidelity` and `prdc`.
"""

# `inception_score` and `precision_recall` name both a module and its function. These
# imports bind the functions here; import other names of the modules with
# `from lada_tf.evaluation.precision_recall import ...`.
from lada_tf.evaluation.distances import (
    frechet_distance,
    frechet_distance_of_statistics,
    kernel_distance,
)
from lada_tf.evaluation.inception_score import inception_score
from lada_tf.evaluation.precision_recall import density_coverage, precision_recall
from lada_tf.evaluation.statistics import FeatureStatistics, StreamingStatistics

__all__ = [
    "FeatureStatistics",
    "StreamingStatistics",
    "density_coverage",
    "frechet_distance",
    "frechet_distance_of_statistics",
    "inception_score",
    "kernel_distance",
    "precision_recall",
]
