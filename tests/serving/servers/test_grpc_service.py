"""The gRPC server, called by TensorFlow Serving's own client."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from lada_tf.sampling import forward_function, to_uint8

LATENTS = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32)
SCALARS = {
    "seed": np.int64(1),
    "num_images": np.int32(2),
    "truncation": np.float32(1),
}


@pytest.fixture(scope="module")
def stub(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def request(signature="", model="small", **inputs):
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    message.model_spec.signature_name = signature
    for name, value in inputs.items():
        message.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return message


def predict(stub, signature="", **inputs):
    response = stub.Predict(request(signature, **inputs), timeout=60)
    return {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}


def test_signatures(stub, generator):
    expected = {
        name: value.numpy()
        for name, value in forward_function(generator)(LATENTS).items()
    }
    (images,) = predict(stub, latents=LATENTS).values()
    assert images.dtype == np.uint8
    assert np.abs(images - np.asarray(to_uint8(expected["images"]), int)).max() <= 1
    found = predict(stub, "forward", latents=LATENTS)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5)
    assert predict(stub, "generate", **SCALARS)["images"].shape == (2, 32, 32, 3)


def test_output_filter(stub):
    message = request("attention", latents=LATENTS)
    message.output_filter.append("attention_1")
    assert list(stub.Predict(message).outputs) == ["attention_1"]
    message.output_filter.append("attention_9")
    with pytest.raises(grpc.RpcError, match="no output attention_9"):
        stub.Predict(message)


def test_metadata(stub):
    message = get_model_metadata_pb2.GetModelMetadataRequest()
    message.model_spec.name = "small"
    message.metadata_field.append("signature_def")
    response = stub.GetModelMetadata(message)
    assert response.model_spec.version.value == 3
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    latents = signatures.signature_def["serving_default"].inputs["latents"]
    assert [side.size for side in latents.tensor_shape.dim] == [-1, 6]
    outputs = signatures.signature_def["attention"].outputs
    assert outputs["images"].dtype == tf.uint8.as_datatype_enum


def of_version(version):
    message = request(latents=LATENTS)
    message.model_spec.version.value = version
    return message


def of_label(label):
    message = request(latents=LATENTS)
    message.model_spec.version_label = label
    return message


def with_tensor(**fields):
    """Return a request with a malformed tensor."""
    sides = [{"size": size} for size in fields.pop("shape", (1, 6))]
    shape = tensor_shape_pb2.TensorShapeProto(dim=sides)
    message = request()
    message.inputs["latents"].CopyFrom(
        tensor_pb2.TensorProto(tensor_shape=shape, **{"dtype": 1} | fields)
    )
    return message


INVALID = grpc.StatusCode.INVALID_ARGUMENT
BAD = {
    "wrong width": (request(latents=np.zeros((1, 2), np.float32)), INVALID, "(n, 6)"),
    "NaN": (request(latents=LATENTS * np.nan), INVALID, "must be finite"),
    "no latent": (request(latents=LATENTS[:0]), INVALID, "from 1 to 8, not 0"),
    "too many": (request(latents=np.zeros((9, 6), "f4")), INVALID, "1 to 8, not 9"),
    "text": (request(latents=[["a"] * 6]), INVALID, "an array of numbers"),
    "huge": (
        with_tensor(shape=[10**6] * 2, float_val=[0]),
        INVALID,
        "fewer numbers than its shape",
    ),
    "negative side": (with_tensor(shape=(-1, 6), float_val=[0]), INVALID, "fewer"),
    "too little content": (
        with_tensor(tensor_content=b"abc"),
        INVALID,
        "not have the shape",
    ),
    "many sides": (
        with_tensor(shape=[1] * 300, float_val=[0]),
        INVALID,
        "not have the shape",
    ),
    "no such type": (with_tensor(dtype=999, int_val=[0]), INVALID, "numbers"),
    "no type": (with_tensor(dtype=0, int_val=[0]), INVALID, "numbers"),
    "float8": (with_tensor(dtype=24, float8_val=b"a"), INVALID, "numbers"),
    "quantized": (with_tensor(dtype=11, int_val=[0]), INVALID, "numbers"),
    "a type that NumPy lacks": (with_tensor(dtype=29), INVALID, "numbers"),
    "reference": (with_tensor(dtype=121), INVALID, "numbers"),
    "label": (of_label("stable"), grpc.StatusCode.NOT_FOUND, "no version 'stable'"),
    "long name": (request("a" * 10**5), INVALID, "no signature 'aaa"),
    "no input": (request(), INVALID, "the request has nothing"),
    "no signature": (request("x", latents=LATENTS), INVALID, "no signature 'x'"),
    "no model": (request(model="x"), grpc.StatusCode.NOT_FOUND, "no model 'x'"),
    "no version": (of_version(2), grpc.StatusCode.NOT_FOUND, "no version 2"),
    "too long": (
        request(latents=np.zeros((100_000, 6), np.float32)),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "larger than max",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_requests(name, stub):
    message, code, words = BAD[name]
    with pytest.raises(grpc.RpcError) as error:
        stub.Predict(message, timeout=60)
    assert error.value.code() == code
    assert words in error.value.details()


def test_bytes_that_are_no_message(server):
    with grpc.insecure_channel(server.grpc) as channel:
        predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        with pytest.raises(grpc.RpcError) as error:
            predict(b"\xff" * 10, timeout=60)
    assert error.value.code() == INVALID


def test_200_clients_at_once(stub):
    def generate(seed):
        inputs = SCALARS | {"seed": np.int64(seed), "num_images": np.int32(1)}
        return predict(stub, "generate", **inputs)["images"].tobytes()

    with ThreadPoolExecutor(200) as clients:
        images = list(clients.map(generate, range(200)))
    assert len(set(images)) == 200
    assert images[57] == generate(57)
