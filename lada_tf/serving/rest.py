"""REST endpoints: TensorFlow Serving's protocol (v1), and Open Inference (v2) in JSON.

    GET  /v1/models/NAME            state; also .../metadata and .../versions/N
    POST /v1/models/NAME:predict    also .../versions/N:predict
        {"signature_name": "generate", "inputs": {"seed": 1, "num_images": 4, …}}
        {"instances": [[0.1, …], …]}          `serving_default`, one latent per row
    GET  /v2/health/live, /v2/health/ready, /v2/models/NAME, /v2/models/NAME/ready
    POST /v2/models/NAME/infer
        {"inputs": [{"name": "latents", "shape": […], "datatype": "FP32", "data": […]}],
         "parameters": {"signature_name": "attention"}}

There are no other paths. Invalid requests get a 4xx status and a message.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
from google.protobuf.json_format import MessageToDict
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from lada_tf.serving.grpc_service import signature_defs
from lada_tf.serving.predictor import (
    DEFAULT_SIGNATURE,
    BadRequest,
    Predictor,
)
from lada_tf.serving.served_model import PredictionQueue, ServedModel

IDLE_SECONDS = 10  # maximum time for a request's header, and between requests
MIN_BYTES_PER_SECOND = 500_000  # slower clients are disconnected
MAX_UNREAD_BYTES = 2**29  # answers that clients have not read yet, in total

_DATATYPES = {"uint8": "UINT8", "int32": "INT32", "int64": "INT64", "float32": "FP32"}


class RestService:
    """The endpoints of one model.

    Attributes:
        unread_bytes: function that returns the size of the answers that clients have
            not read yet. `rest_server` sets it.
    """

    def __init__(
        self, name: str, model: ServedModel, queue: PredictionQueue, max_bytes: int
    ):
        self._name = name
        self._model = model
        self._queue = queue
        self._max_bytes = max_bytes
        self.unread_bytes: Callable[[], int] = lambda: 0

    def routes(self) -> list[Route]:
        """Return all routes of the server."""
        v1, v2 = f"/v1/models/{self._name}", f"/v2/models/{self._name}"
        routes = [
            Route("/v2/health/live", self._live),
            Route("/v2/health/ready", self._ready),
            Route(f"{v2}/ready", self._ready),
            Route(v2, self._describe_v2),
            Route(f"{v2}/infer", self._post(self._answer_v2), methods=["POST"]),
        ]
        for path in (v1, f"{v1}/versions/{{version}}"):
            predict = self._post(_answer_v1)
            routes += [
                Route(f"{path}:predict", predict, methods=["POST"]),
                Route(f"{path}/metadata", self._metadata),
                Route(path, self._status),
            ]
        return routes

    async def _live(self, request: Request) -> Response:
        return _json({"live": True})

    async def _ready(self, request: Request) -> Response:
        ready = self._model.find().works
        return _json({"name": self._name, "ready": ready}, 200 if ready else 503)

    async def _status(self, request: Request) -> Response:
        version = self._find(request).version
        status = {"error_code": "OK", "error_message": ""}
        state = {"version": str(version), "state": "AVAILABLE", "status": status}
        return _json({"model_version_status": [state]})

    async def _metadata(self, request: Request) -> Response:
        predictor = self._find(request)
        signatures = MessageToDict(
            signature_defs(predictor), preserving_proto_field_name=True
        )
        version = str(predictor.version)
        spec = {"name": self._name, "signature_name": "", "version": version}
        return _json({"model_spec": spec, "metadata": {"signature_def": signatures}})

    async def _describe_v2(self, request: Request) -> Response:
        predictor = self._model.find()
        outputs = predictor.signatures[DEFAULT_SIGNATURE].structured_outputs
        return _json(
            {
                "name": self._name,
                "versions": [str(predictor.version)],
                "platform": "tensorflow_savedmodel",
                "inputs": _describe(predictor.input_specs(DEFAULT_SIGNATURE)),
                "outputs": _describe(outputs),
            }
        )

    def _find(self, request: Request) -> Predictor:
        return self._model.find(request.path_params.get("version"))

    def _post(self, answer: Callable[[Predictor, dict], dict]) -> Callable:
        """Return an endpoint. `answer` converts a JSON object to a JSON object."""

        def work(predictor: Predictor, body: bytes) -> bytes:
            if self.unread_bytes() > MAX_UNREAD_BYTES:
                raise BadRequest("too many responses are unread. Try again later", 503)
            try:
                request = orjson.loads(body)
                if not isinstance(request, dict):
                    raise BadRequest("the request must be a JSON object")
                return _dumps(answer(predictor, request))
            except orjson.JSONDecodeError as error:
                raise BadRequest(f"the request is not valid JSON: {error}") from None
            except RecursionError:
                raise BadRequest("the request is nested too deeply") from None

        async def endpoint(request: Request) -> Response:
            tasks: list[asyncio.Task] = []
            try:
                body = await self._read(request)
                reply = self._queue.run(work, self._find(request), body)
                tasks += [asyncio.create_task(reply)]
                tasks += [asyncio.create_task(_wait_until_gone(request))]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if tasks[0].done():
                    return Response(tasks[0].result(), media_type="application/json")
                return error_response(503, "the client has disconnected")
            except (ClientDisconnect, asyncio.CancelledError):  # uvicorn is stopping
                return error_response(503, "the server is stopping")
            finally:
                for task in tasks:
                    task.cancel()

        return endpoint

    def _answer_v2(self, predictor: Predictor, request: dict) -> dict:
        parameters = _field(request, "parameters", dict, {})
        signature = _field(parameters, "signature_name", str, "")
        tensors = _field(request, "inputs", list)
        names = [
            _field(output, "name", str)
            for output in _field(request, "outputs", list, [])
        ]
        inputs = {_field(tensor, "name", str): _array(tensor) for tensor in tensors}
        outputs = _predict(predictor, signature, inputs, names)
        return {
            "model_name": self._name,
            "model_version": str(predictor.version),
            "id": _field(request, "id", str, ""),
            "outputs": [
                {
                    "name": name,
                    "shape": list(array.shape),
                    "datatype": _DATATYPES[array.dtype.name],
                    "data": array.ravel(),
                }
                for name, array in outputs.items()
            ],
        }

    async def _read(self, request: Request) -> bytes:
        """Read a request's body, with limits of size and time."""
        body, length = bytearray(), 0
        try:
            async with asyncio.timeout(transfer_seconds(self._max_bytes)):
                parts = request.stream()
                # Read up to 4 times as much as allowed: most clients read an answer
                # only after they have sent the whole request.
                limit = 4 * self._max_bytes
                while length <= limit and (part := await anext(parts, b"")):
                    length += len(part)
                    body += part if length <= self._max_bytes else b""
        except TimeoutError:
            raise BadRequest("the request took too long to arrive", 408) from None
        if length > self._max_bytes:
            raise BadRequest(f"the request has more than {self._max_bytes} bytes", 413)
        return bytes(body)


def transfer_seconds(num_bytes: int) -> float:
    """Return the time limit of a transfer."""
    return IDLE_SECONDS + num_bytes / MIN_BYTES_PER_SECOND


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _answer_v1(predictor: Predictor, request: dict) -> dict:
    signature = _field(request, "signature_name", str, "")
    if ("instances" in request) == ("inputs" in request):
        raise BadRequest('expected "instances" (rows) or "inputs" (columns), not both')
    if "inputs" in request:
        outputs = _predict(predictor, signature, request["inputs"])
        return {"outputs": _single(outputs)}
    outputs = _predict(predictor, signature, _columns(request["instances"]))
    if len(outputs) == 1:
        return {"predictions": _single(outputs)}
    rows = zip(*outputs.values(), strict=True)
    return {"predictions": [dict(zip(outputs, row, strict=True)) for row in rows]}


def _predict(predictor: Predictor, signature: str, inputs, names=()) -> dict:
    signature = signature or DEFAULT_SIGNATURE
    specs = predictor.input_specs(signature)
    if not isinstance(inputs, dict):
        if len(specs) > 1:
            raise BadRequest(f'expected "inputs" with {", ".join(sorted(specs))}')
        (name,) = specs
        inputs = {name: inputs}
    return predictor.predict(signature, inputs, names)


def _single(outputs: dict):
    """Return a single output without its name, like TensorFlow Serving."""
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs


def _columns(rows):
    """Convert rows, `[{"latents": …}, …]` or plain values, to columns."""
    if not isinstance(rows, list):
        raise BadRequest('"instances" must be a list')
    if not rows or not all(isinstance(row, dict) for row in rows):
        return rows
    if len({frozenset(row) for row in rows}) > 1:
        raise BadRequest('"instances" have different input names')
    return {name: [row[name] for row in rows] for name in rows[0]}


def _array(tensor: dict) -> np.ndarray:
    """Return the data of a tensor, which is flat or nested, as an array of objects."""
    name, shape = _field(tensor, "name", str), _field(tensor, "shape", list)
    if _field(tensor, "datatype", str) not in _DATATYPES.values():
        raise BadRequest(
            f"{name}: the datatype must be one of {', '.join(_DATATYPES.values())}"
        )
    data = np.asarray(_field(tensor, "data", list), object)
    try:
        if any(type(side) is not int or side < 0 for side in shape):
            raise ValueError("a side is not a whole number")
        return data.reshape(shape)
    except ValueError as error:
        raise BadRequest(f"{name}: the data does not have the shape {shape}") from error


def _field(message: Any, name: str, kind: type, default: Any = None) -> Any:
    """Return a field of a JSON object, which must have a type."""
    value = message.get(name, default) if isinstance(message, dict) else None
    if not isinstance(value, kind):
        names = {"dict": "an object", "list": "a list", "str": "a string"}
        raise BadRequest(f'"{name}" must be {names[kind.__name__]}')
    return value


def _describe(specs: dict) -> list[dict]:
    return [
        {
            "name": name,
            "datatype": _DATATYPES[spec.dtype.name],
            "shape": [-1 if side is None else side for side in spec.shape],
        }
        for name, spec in specs.items()
    ]


def _dumps(content) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def _json(content: dict, status: int = 200) -> Response:
    headers = {"Retry-After": "1"} if status == 503 else None
    return Response(_dumps(content), status, headers, media_type="application/json")


def error_response(status: int, message: str) -> Response:
    return _json({"error": message}, status)


async def refuse(request: Request, error: Any) -> Response:
    response = error_response(error.status_code, error.detail)
    response.headers.update(getattr(error, "headers", None) or {})
    return response
