"""Sizes of converted files; test_exporting.py tests what they compute."""

import pytest

from lada_tf.models.networks import make_networks
from lada_tf.models.presets import get_preset
from lada_tf.serving.converters import write_litert, write_onnx


@pytest.mark.slow
def test_lower_precision_makes_smaller_files(tmp_path):
    generator, _ = make_networks(get_preset("tiny"))
    generator.build()
    weights = sum(w.numpy().size for w in generator.weights) / 1e6
    for write, precision in (
        (write_onnx, "float32"),
        (write_onnx, "float16"),
        (write_litert, "float16"),
        (write_litert, "int8"),
    ):
        write(generator, tmp_path / "file", precision)
        megabytes = (tmp_path / "file").stat().st_size / 1e6
        bytes_per_weight = {"float32": 4, "float16": 2, "int8": 1}[precision]
        # 0.3 MB for the graph, and for position embeddings, which stay float32 in int8.
        assert megabytes < 1.05 * bytes_per_weight * weights + 0.3, (write, precision)
