"""The 2015 Inception graph, which defines FID.

The frozen graph takes images in 0..255. It includes the scaling and the legacy bilinear
resize to 299x299. We use the same outputs as the guided-diffusion evaluator:

- `pool`: `pool_3`, 2,048 channels (FID, precision, recall);
- `spatial`: the first 7 channels of `mixed_6/conv`, 17 x 17 x 7 = 2,023 (sFID);
- `probabilities`: softmax over 1,008 classes of `pool_3` times the graph's weights,
  without the bias (Inception score).
"""

import os

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from lada_tf.errors import UserError
from lada_tf.evaluation.extract_features import Extractor, Features
from lada_tf.io import default_cache_dir, sha256, user_path

FILE_NAME = "classify_image_graph_def.pb"
ARCHIVE = (
    "http://download.tensorflow.org/models/image/imagenet/inception-2015-12-05.tgz"
)
SHA256 = "009d6814d1bc560d4e7b236e170e9b2d5ca6f4b57bd8037f6db05776204415c6"
SPATIAL_CHANNELS = 7


class InceptionGraph(Extractor):
    """Extract features with a frozen graph that has the 2015 file's node names.

    The file must have the SHA-256 `checksum`. With another checksum than that of the
    public file, metrics are labeled with the checksum, and none is called FID. By
    default, the file is in `default_cache_dir()`.
    """

    def __init__(self, path: str | None = None, checksum: str | None = None):
        path = user_path(path or os.path.join(default_cache_dir(), FILE_NAME))
        checksum = checksum or SHA256
        _check_file(path, checksum)
        self.label = None if checksum == SHA256 else f"graph {checksum[:12]}"
        self.identity = f"inception_graph:{checksum[:12]}"
        try:
            self._images, self._outputs, graph = _load(path)
        except (DecodeError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"{path} holds no 2015 Inception graph: {str(error)[:200]}"
            ) from error
        options = tf.compat.v1.ConfigProto()
        options.gpu_options.allow_growth = True
        # A session, because tf.function rejects the obsolete batch normalization.
        self._session = tf.compat.v1.Session(graph=graph, config=options)

    def extract(self, images: np.ndarray) -> Features:
        pool, spatial, probabilities = self._session.run(
            self._outputs, {self._images: images}
        )
        return Features(pool, spatial, probabilities)


def _check_file(path: str, checksum: str) -> None:
    try:
        actual = sha256(path)
    except OSError as error:
        directory = default_cache_dir()
        raise UserError(
            f"no Inception graph at {path} ({error.strerror}). Download it: "
            f"mkdir -p {directory} && curl {ARCHIVE} | tar -xz -C {directory}. Or set "
            "inception_graph=FILE, or choose features=small_classifier, which needs no "
            "download"
        ) from error
    if actual != checksum:
        raise UserError(
            f"{path} is truncated or not the expected {FILE_NAME}: its SHA-256 is "
            f"{actual} ({os.path.getsize(path)} bytes), not {checksum}. Download it "
            f"again, or accept this graph with inception_sha256={actual}; its results "
            "are not called FID"
        )


def _load(path: str) -> tuple[tf.Tensor, tuple[tf.Tensor, ...], tf.Graph]:
    """Return (images, (pool, spatial, probabilities), graph)."""
    with open(path, "rb") as file:
        graph_def = tf.compat.v1.GraphDef.FromString(file.read())
    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder(tf.uint8, (None, None, None, 3))
        pool, spatial, logits = tf.graph_util.import_graph_def(
            graph_def,
            input_map={"ExpandDims:0": tf.cast(images, tf.float32)},
            return_elements=["pool_3:0", "mixed_6/conv:0", "softmax/logits/MatMul"],
            name="",
        )
        weights = logits.inputs[1]
        # The shapes in the file are for a batch of one, so reshape by hand.
        count = tf.shape(images)[0]
        pool = tf.reshape(pool, (count, weights.shape[0]))
        spatial = spatial[..., :SPATIAL_CHANNELS]
        spatial = tf.reshape(spatial, (count, -1))
        probabilities = tf.nn.softmax(tf.matmul(pool, weights))
    return images, (pool, spatial, probabilities), graph
