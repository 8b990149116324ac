"""gRPC server: TensorFlow Serving's `PredictionService`, for standard clients."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

from lada_tf.serving.predictor import (
    DEFAULT_SIGNATURE,
    BadRequest,
    Predictor,
)
from lada_tf.serving.served_model import PredictionQueue, ServedModel

MAX_REPEATED = 2**20  # elements that one number in a request may fill
REQUEST_SECONDS = 10  # maximum time until a request has arrived
CONNECTION_SECONDS = 600  # then a client must connect again
MAX_CALLS = 4096
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    503: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
_DTYPES = "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64"
_NUMBERS = {tf.as_dtype(name).as_datatype_enum for name in _DTYPES.split()}


class PredictionService:
    """The methods `Predict` and `GetModelMetadata` of one model.

    gRPC answers calls of other methods with UNIMPLEMENTED.
    """

    def __init__(self, name: str, model: ServedModel, queue: PredictionQueue):
        self._name = name
        self._model = model
        self._queue = queue

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the methods for `grpc.aio.Server.add_generic_rpc_handlers`."""
        methods = {
            "Predict": self._method(predict_pb2.PredictRequest, self._predict),
            "GetModelMetadata": self._method(
                get_model_metadata_pb2.GetModelMetadataRequest, self._metadata
            ),
        }
        service = "tensorflow.serving.PredictionService"
        return grpc.method_handlers_generic_handler(service, methods)

    def _method(self, message: Any, answer: Callable) -> grpc.RpcMethodHandler:
        """Return a handler. `answer` converts a message to a message.

        The handler takes a stream of messages and reads the first one, because gRPC
        lets a server limit the time until a message arrives only in a stream. A client
        that sends a single message does not notice.
        """

        def work(data: bytes) -> bytes:
            try:
                request = message.FromString(data)
            except DecodeError as error:
                raise BadRequest(f"the message cannot be parsed: {error}") from None
            return answer(request).SerializeToString()

        async def handle(requests, context: grpc.aio.ServicerContext) -> bytes:
            code, text = grpc.StatusCode.INVALID_ARGUMENT, "the message is incomplete"
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    data = await anext(aiter(requests))
                return await self._queue.run(work, data)
            except BadRequest as error:
                code, text = _CODES[error.status_code], error.detail
            except (TimeoutError, StopAsyncIteration):
                pass
            return await context.abort(code, text)

        return grpc.stream_unary_rpc_method_handler(handle)

    def _predict(
        self, request: predict_pb2.PredictRequest
    ) -> predict_pb2.PredictResponse:
        predictor = self._find(request.model_spec)
        signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
        inputs = {name: _array(name, p) for name, p in request.inputs.items()}
        outputs = predictor.predict(signature, inputs, request.output_filter)
        response = predict_pb2.PredictResponse()
        self._fill(response.model_spec, predictor, signature)
        for name, array in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
        return response

    def _metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        predictor = self._find(request.model_spec)
        if list(request.metadata_field) != ["signature_def"]:
            raise BadRequest('metadata_field must be "signature_def"')
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        self._fill(response.model_spec, predictor, "")
        response.metadata["signature_def"].Pack(signature_defs(predictor))
        return response

    def _find(self, spec: Any) -> Predictor:
        if spec.name != self._name:
            raise BadRequest(
                f"there is no model {spec.name!r}, only {self._name!r}", 404
            )
        if spec.HasField("version_label"):
            raise BadRequest(f"there is no version {spec.version_label!r}", 404)
        return self._model.find(
            spec.version.value if spec.HasField("version") else None
        )

    def _fill(self, spec: Any, predictor: Predictor, signature: str) -> None:
        spec.name = self._name
        spec.version.value = predictor.version
        spec.signature_name = signature


def signature_defs(predictor: Predictor) -> get_model_metadata_pb2.SignatureDefMap:
    """Return the signatures of a model as a protocol buffer."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, function in predictor.signatures.items():
        signature = signatures.signature_def[name]
        signature.method_name = tf.saved_model.PREDICT_METHOD_NAME
        for key, spec in predictor.input_specs(name).items():
            _describe(signature.inputs[key], spec)
        for key, spec in function.structured_outputs.items():
            _describe(signature.outputs[key], spec)
    return signatures


def _describe(info: meta_graph_pb2.TensorInfo, spec: tf.TensorSpec):
    info.name = spec.name
    info.dtype = spec.dtype.as_datatype_enum
    info.tensor_shape.CopyFrom(spec.shape.as_proto())


def _array(name, proto):
    """Convert a tensor of a request to an array.

    A tensor can store one number that fills all of its elements. Refuse more than
    `MAX_REPEATED` of them before allocating memory.
    """
    shape = [side.size for side in proto.tensor_shape.dim]
    limit = max(MAX_REPEATED, proto.ByteSize())
    if min(shape, default=0) < 0 or math.prod(shape) > limit:
        raise BadRequest(f"{name}: fewer numbers than its shape {shape} needs")
    if proto.dtype not in _NUMBERS:
        raise BadRequest(f"{name} must be an array of numbers")
    try:
        return tf.make_ndarray(proto)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRequest(f"{name}: the data does not have the shape {shape}") from error


def grpc_server(
    service: PredictionService, host: str, port: int, max_bytes: int
) -> grpc.aio.Server:
    """Return a server of one model for the running event loop, not started yet.

    Args:
        service: the model.
        host: address. An IPv6 address needs brackets.
        port: port.
        max_bytes: maximum size of a request.
    """
    server = grpc.aio.server(
        maximum_concurrent_rpcs=MAX_CALLS,
        options=[
            ("grpc.max_receive_message_length", max_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_connection_age_ms", CONNECTION_SECONDS * 1000),
            ("grpc.max_connection_age_grace_ms", CONNECTION_SECONDS * 1000),
            ("grpc.so_reuseport", 0),  # fail if the port is in use
        ],
    )
    server.add_generic_rpc_handlers((service.handler(),))
    server.add_insecure_port(f"{host}:{port}")
    return server
