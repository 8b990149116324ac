"""gRPC server: TensorFlow Serving's `PredictionService`, for standard clients."""

import math
from concurrent.futures import Executor

import grpc
import tensorflow as tf
from google.protobuf import any_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from lada_tf.serving.predictor import DEFAULT_SIGNATURE, BadRequest, Predictor

MAX_REPEATED = 2**20  # elements that a request may give as one repeated number


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """`Predict` and `GetModelMetadata` of one model. Others are UNIMPLEMENTED."""

    def __init__(self, name: str, predictor: Predictor):
        self._name = name
        self._predictor = predictor

    def Predict(
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        self._check_model(request.model_spec, context)
        signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
        try:
            inputs = {name: _array(name, p) for name, p in request.inputs.items()}
            outputs = self._predictor.predict(signature, inputs)
        except BadRequest as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        names = list(request.output_filter) or list(outputs)
        if missing := set(names) - set(outputs):
            text = f"output_filter: no output {', '.join(sorted(missing))}"
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
        response = predict_pb2.PredictResponse()
        self._fill(response.model_spec, signature)
        for name in names:
            response.outputs[name].CopyFrom(tf.make_tensor_proto(outputs[name]))
        return response

    def GetModelMetadata(
        self,
        request: get_model_metadata_pb2.GetModelMetadataRequest,
        context: grpc.ServicerContext,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        self._check_model(request.model_spec, context)
        if list(request.metadata_field) != ["signature_def"]:
            text = 'metadata_field must be "signature_def"'
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, function in self._predictor.signatures.items():
            signature = signatures.signature_def[name]
            signature.method_name = tf.saved_model.PREDICT_METHOD_NAME
            for key, spec in self._predictor.input_specs(name).items():
                _describe(signature.inputs[key], spec)
            for key, spec in function.structured_outputs.items():
                _describe(signature.outputs[key], spec)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        self._fill(response.model_spec, "")
        packed = any_pb2.Any()
        packed.Pack(signatures)
        response.metadata["signature_def"].CopyFrom(packed)
        return response

    def _check_model(self, spec, context):
        if spec.name != self._name:
            text = f"there is no model {spec.name!r}, only {self._name!r}"
            context.abort(grpc.StatusCode.NOT_FOUND, text)
        if spec.HasField("version") and spec.version.value != self._predictor.version:
            text = f"there is no version {spec.version.value} of {self._name!r}"
            context.abort(grpc.StatusCode.NOT_FOUND, text)

    def _fill(self, spec, signature):
        spec.name = self._name
        spec.version.value = self._predictor.version
        spec.signature_name = signature


def _array(name, proto):
    """Convert a tensor of a request to an array.

    A tensor may give one number for all of its elements. Reject a shape that is larger
    than `MAX_REPEATED` before allocating memory for it.
    """
    shape = [side.size for side in proto.tensor_shape.dim]
    values = (proto.tensor_content, proto.float_val, proto.int_val, proto.int64_val)
    limit = max(MAX_REPEATED, *map(len, values))
    if min(shape, default=0) < 0 or math.prod(shape) > limit:
        raise BadRequest(f"{name}: fewer numbers than its shape {shape} has")
    try:
        return tf.make_ndarray(proto)
    except (TypeError, ValueError) as error:
        raise BadRequest(f"{name}: no array of the shape {shape}") from error


def _describe(info: meta_graph_pb2.TensorInfo, spec: tf.TensorSpec):
    info.name = spec.name
    info.dtype = spec.dtype.as_datatype_enum
    info.tensor_shape.CopyFrom(spec.shape.as_proto())


def grpc_server(
    name: str,
    predictor: Predictor,
    executor: Executor,
    host: str,
    port: int,
    max_bytes: int,
) -> grpc.Server:
    """Return a server of one model, not started yet.

    Requires an IPv6 `host` in brackets.
    """
    server = grpc.server(
        executor,
        options=[
            ("grpc.max_receive_message_length", max_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # fail if the port is in use
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(name, predictor), server
    )
    server.add_insecure_port(f"{host}:{port}")
    return server
