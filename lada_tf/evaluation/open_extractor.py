"""From the words of a flag to a feature extractor."""

from lada_tf.evaluation.extractor import Extractor

SMALL_CLASSIFIER = "small_classifier"


def open_extractor(
    spec: str = "inception",
    inception_graph: str | None = None,
    inception_sha256: str | None = None,
) -> Extractor:
    """Opens a feature extractor.

    Args:
        spec: "inception" (the 2015 graph, for FID), "keras_inception_v3",
            "small_classifier" (in the package, works offline), or the path of a
            `.keras` file or SavedModel folder.
        inception_graph: file of the graph, where it is not in the cache folder.
        inception_sha256: checksum of another graph than the public one.

    Raises:
        UserError: the network or its weights are not there, or not what they should be.
    """
    # Each import costs seconds that the other extractors do not need.
    if spec == "inception":
        from lada_tf.evaluation import inception_graph as graph

        return graph.InceptionGraph(inception_graph, inception_sha256 or graph.SHA256)
    if spec == SMALL_CLASSIFIER:
        from lada_tf.evaluation.small_classifier import SmallClassifier

        return SmallClassifier()
    from lada_tf.evaluation.model_features import KerasInceptionV3, ModelFeatures

    return KerasInceptionV3() if spec == "keras_inception_v3" else ModelFeatures(spec)
