"""REST server on KServe: TensorFlow Serving's `predict` (v1), and Open Inference (v2).

    POST /v1/models/NAME:predict
        {"signature_name": "generate", "inputs": {"seed": 1, "num_images": 4, …}}
        {"instances": [[0.1, …], …]}          one latent per row: `serving_default`
    POST /v2/models/NAME/infer
        {"inputs": [{"name": "latents", "shape": […], "datatype": "FP32", "data": […]}],
         "parameters": {"signature_name": "attention"}}

Invalid requests get a 4xx status and a message.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import kserve
import numpy as np
from kserve.errors import InvalidInput, ModelNotFound, UnsupportedProtocol
from kserve.logging import logger
from kserve.model_server import app
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.rest.server import RESTServer
from starlette.responses import JSONResponse

from lada_tf.serving.predictor import DEFAULT_SIGNATURE, BadRequest, Predictor

_DATATYPES = {"uint8": "UINT8", "float32": "FP32"}


class KServeModel(kserve.Model):
    """Let KServe call a `Predictor`, in the threads of an executor."""

    def __init__(self, name: str, predictor: Predictor, executor: Executor):
        super().__init__(name)
        self._predictor = predictor
        self._executor = executor
        self.load()

    async def predict(
        self, payload: Any, headers=None, response_headers=None
    ) -> dict | kserve.InferResponse:
        """Answer a v1 or v2 request."""
        is_v2 = isinstance(payload, kserve.InferRequest)
        answer: Callable = self._answer_v2 if is_v2 else self._answer_v1
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, answer, payload)
        except BadRequest as error:
            raise InvalidInput(str(error)) from None

    def _answer_v1(self, payload) -> dict:
        if not isinstance(payload, dict):
            raise BadRequest("the request must be a JSON object")
        signature = payload.get("signature_name", DEFAULT_SIGNATURE)
        if ("instances" in payload) == ("inputs" in payload):
            raise BadRequest('expected either "instances" (rows) or "inputs" (columns)')
        if "inputs" in payload:
            outputs = self._predict(signature, payload["inputs"])
            return {"outputs": _single(outputs)}
        outputs = self._predict(signature, _columns(payload["instances"]))
        if len(outputs) == 1:
            return {"predictions": _single(outputs)}
        rows = zip(*outputs.values(), strict=True)
        return {"predictions": [dict(zip(outputs, row, strict=True)) for row in rows]}

    def _predict(self, signature, inputs) -> dict[str, np.ndarray]:
        if not isinstance(signature, str):
            raise BadRequest("signature_name must be a string")
        specs = self._predictor.input_specs(signature)
        if not isinstance(inputs, dict):
            if len(specs) > 1:
                raise BadRequest(f'expected "inputs" with {", ".join(sorted(specs))}')
            (name,) = specs
            inputs = {name: inputs}
        return self._predictor.predict(signature, inputs)

    def _answer_v2(self, request: kserve.InferRequest) -> kserve.InferResponse:
        signature = (request.parameters or {}).get("signature_name", DEFAULT_SIGNATURE)
        outputs = self._predict(signature, {i.name: _array(i) for i in request.inputs})
        return kserve.InferResponse(
            request.id or str(uuid.uuid4()),  # KServe requires one
            self.name,
            [
                kserve.InferOutput(
                    name, list(array.shape), _DATATYPES[array.dtype.name], array
                )
                for name, array in outputs.items()
            ],
            use_binary_outputs=request.use_binary_outputs,
            requested_outputs=request.request_outputs,
        )


def _single(outputs: dict):
    """Drop the name of a single output, like TensorFlow Serving."""
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs


def _columns(rows):
    """Convert rows, `[{"latents": …}, …]` or plain values, to columns."""
    if not isinstance(rows, list):
        raise BadRequest('"instances" must be a list')
    if not rows or not all(isinstance(row, dict) for row in rows):
        return rows
    if len({frozenset(row) for row in rows}) > 1:
        raise BadRequest('"instances" have different names')
    return {name: [row[name] for row in rows] for name in rows[0]}


def _array(tensor: kserve.InferInput) -> np.ndarray:
    shape = list(tensor.shape)
    try:
        array = np.asarray(tensor.as_numpy())
        if list(array.shape) != shape:
            raise ValueError(f"the data has the shape {array.shape}")
    except Exception as error:  # of KServe, NumPy or struct
        raise BadRequest(f"{tensor.name}: no array of the shape {shape}") from error
    return array


class CheckedDataPlane(DataPlane):
    """KServe's data plane, with status 400 for malformed binary requests."""

    def decode(self, *args, **kwargs):
        try:
            return super().decode(*args, **kwargs)
        except InvalidInput:
            raise
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"Unrecognized request format: {error}") from error


class AnyContentType:
    """ASGI middleware that reads each body as JSON unless it is declared as binary.

    TensorFlow Serving ignores the content type, which curl sets to that of a form.
    """

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            if headers.get(b"content-type") != b"application/octet-stream":
                headers[b"content-type"] = b"application/json"
            scope = {**scope, "headers": list(headers.items())}
        await self.app(scope, receive, send)


class BodyLimit:
    """ASGI middleware that answers 413 if a request's body exceeds `max_bytes`."""

    def __init__(self, app, max_bytes: int):
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        messages, size = [], 0
        while True:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > self.max_bytes:
                text = f"the request is longer than {self.max_bytes} bytes"
                response = JSONResponse({"error": text}, status_code=413)
                return await response(scope, receive, send)
            if not message.get("more_body"):
                break

        async def replay():
            return messages.pop(0) if messages else await receive()

        await self.app(scope, replay, send)


def _is_no_client_error(record: logging.LogRecord) -> bool:
    """Filter out what KServe logs with a traceback, though the client got an answer."""
    errors = (InvalidInput, ModelNotFound, NotImplementedError, UnsupportedProtocol)
    return not (record.exc_info and isinstance(record.exc_info[1], errors))


def rest_server(model: KServeModel, host: str, port: int, max_bytes: int) -> RESTServer:
    """Return a server of one model. `run()` serves until SIGTERM or SIGINT."""
    server = kserve.ModelServer(http_port=port, enable_grpc=False)
    server.register_model(model)
    app.add_middleware(BodyLimit, max_bytes=max_bytes)
    app.add_middleware(AnyContentType)
    logger.addFilter(_is_no_client_error)
    rest = RESTServer(
        "kserve.model_server:app",
        CheckedDataPlane(model_registry=server.registered_models),
        server.model_repository_extension,
        port,
    )
    rest.config.host = host  # KServe always listens on all interfaces
    return rest
