"""The 2015 Inception graph, whose Fréchet distance is FID.

The frozen graph does everything itself, its legacy bilinear resize to 299x299 and the
scaling included; it is fed images of 0..255. As in the guided-diffusion evaluator:

- `pool`: `pool_3`, 2,048 (FID, precision, recall);
- `spatial`: the first 7 channels of `mixed_6/conv`, 17 x 17 x 7 = 2,023 (sFID);
- `probabilities`: softmax over 1,008 classes of `pool_3` times the graph's weights,
  without its bias (Inception score).
"""

import hashlib
import os

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from lada_tf.errors import UserError
from lada_tf.evaluation.extractor import Extractor, Features
from lada_tf.io import default_cache_dir

FILE_NAME = "classify_image_graph_def.pb"
ARCHIVE = "download.tensorflow.org/models/image/imagenet/inception-2015-12-05.tgz"
SHA256 = "009d6814d1bc560d4e7b236e170e9b2d5ca6f4b57bd8037f6db05776204415c6"
SPATIAL_CHANNELS = 7


class InceptionGraph(Extractor):
    """Features of a frozen graph with the 2015 file's node names.

    Args:
        path: the graph's file; by default `classify_image_graph_def.pb` in the cache
            folder (`default_path`).
        sha256: the checksum that the file must have. With any but the public file's,
            the metrics are labelled with it and none is called FID.

    Raises:
        UserError: no such file, another checksum, or no such graph in it.
    """

    def __init__(self, path: str | None = None, sha256: str = SHA256):
        path = path or default_path()
        data = _read(path, sha256)
        self.label = None if sha256 == SHA256 else f"graph {sha256[:12]}"
        self.identity = f"inception_graph:{sha256[:12]}"
        try:
            # A session, as the file's batch normalization is too old for tf.function.
            self._images, self._outputs, graph = _load(data)
        except (DecodeError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"{path} holds no 2015 Inception graph: {str(error)[:200]}"
            ) from error
        options = tf.compat.v1.ConfigProto()
        options.gpu_options.allow_growth = True
        self._session = tf.compat.v1.Session(graph=graph, config=options)

    def extract(self, images: np.ndarray) -> Features:
        pool, spatial, probabilities = self._session.run(
            self._outputs, {self._images: images}
        )
        return Features(pool, spatial, probabilities)


def default_path() -> str:
    """Where the graph is looked for: in the cache folder."""
    return os.path.join(default_cache_dir(), FILE_NAME)


def _read(path: str, sha256: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UserError(
            f"no Inception graph at {path} ({error.strerror}): put {FILE_NAME} of "
            f"{ARCHIVE} there, give --inception_graph=FILE, or choose other --features"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise UserError(
            f"{path} is cut off or not the public {FILE_NAME}: its SHA-256 is {found} "
            f"({len(data)} bytes), not {sha256}; download it again, or accept this "
            f"graph with --inception_sha256={found}, which calls no result FID"
        )
    return data


def _load(data: bytes) -> tuple[tf.Tensor, tuple[tf.Tensor, ...], tf.Graph]:
    """(images, (pool, spatial, probabilities), graph)"""
    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder(tf.uint8, (None, None, None, 3))
        pool, spatial, logits = tf.graph_util.import_graph_def(
            tf.compat.v1.GraphDef.FromString(data),
            input_map={"ExpandDims:0": tf.cast(images, tf.float32)},
            return_elements=["pool_3:0", "mixed_6/conv:0", "softmax/logits/MatMul"],
            name="",
        )
        weights = logits.inputs[1]
        # The file fixes a batch of one in its shapes: flatten by hand.
        count = tf.shape(images)[0]
        pool = tf.reshape(pool, (count, weights.shape[0]))
        spatial = spatial[..., :SPATIAL_CHANNELS]
        spatial = tf.reshape(spatial, (count, -1))
        probabilities = tf.nn.softmax(tf.matmul(pool, weights))
    return images, (pool, spatial, probabilities), graph
