"""A process of the serve command, a server in a thread, and clients."""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from lada_tf.serving.grpc_service import PredictionService, grpc_server
from lada_tf.serving.rest import RestService
from lada_tf.serving.rest_server import rest_server
from lada_tf.serving.saved_model import write_saved_model
from lada_tf.serving.served_model import PredictionQueue
from tests.runner import free_ports


@pytest.fixture(scope="session")
def server(generator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "small"
    write_saved_model(generator, folder / "3", max_batch=8)
    rest_port, grpc_port = free_ports(2)
    command = [sys.executable, "-m", "lada_tf.serve", f"--model={folder}"]
    command += [f"--rest_port={rest_port}", f"--grpc_port={grpc_port}"]
    log = folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen([*command, "--max_request_mb=1"], stderr=file)
    url = f"http://127.0.0.1:{rest_port}"
    try:
        wait_until_ready(process, url)
        yield SimpleNamespace(
            url=url, grpc=f"127.0.0.1:{grpc_port}", command=command, log=log
        )
        assert process.poll() is None, "the server died of a request"
    finally:
        process.terminate()
    assert process.wait(timeout=30) == 0


@pytest.fixture
def free_port():
    (port,) = free_ports(1)
    return port


def wait_until_ready(process, url):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "see the log"
        try:
            return urllib.request.urlopen(f"{url}/v2/health/ready")
        except OSError:
            time.sleep(0.2)
    raise AssertionError("not ready")


@pytest.fixture(scope="session")
def send(server):
    """Return a function that sends a request, and returns status, answer, headers."""

    def send(path, data=None, headers=None, method=None):
        request = urllib.request.Request(
            server.url + path, data, headers or {}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.load(response), response.headers
        except urllib.error.HTTPError as error:
            return error.code, json.load(error), error.headers

    return send


@pytest.fixture(scope="session")
def post(send):
    """Return a function that posts JSON or bytes, and returns status and answer."""

    def post(path, body, headers=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return send(path, data, headers)[:2]

    return post


class FakePredictor:
    """A model whose predictions wait for an event, and are counted."""

    version = 1
    works = True

    def __init__(self):
        self.go_on = threading.Event()
        self.num_predictions = 0
        self.size = 1

    def find(self, version=None):
        return self

    def input_specs(self, signature):
        return {"latents": tf.TensorSpec((None, 6), name="latents")}

    def predict(self, signature, inputs, names=()):
        self.num_predictions += 1
        self.go_on.wait(10)
        return {"images": np.full(self.size, 255, np.uint8)}


@pytest.fixture
def fake(monkeypatch):
    """Serve a `FakePredictor` in a thread, with a queue of 4 requests that run in turn.

    Clients have 0.5 s for each step, and a stop takes at most 1 s.
    """
    for module in ("rest", "rest_server"):
        monkeypatch.setattr(f"lada_tf.serving.{module}.IDLE_SECONDS", 0.5)
    monkeypatch.setattr("lada_tf.serving.rest.MIN_BYTES_PER_SECOND", 10**8)
    monkeypatch.setattr("lada_tf.serving.grpc_service.REQUEST_SECONDS", 0.5)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    rest_port, grpc_port = free_ports(2)
    model, queue = FakePredictor(), PredictionQueue(4)
    rest = rest_server(
        RestService("fake", model, queue, 2**20), "127.0.0.1", rest_port, [], 1
    )

    async def serve():
        service = PredictionService("fake", model, queue)
        grpc = grpc_server(service, "127.0.0.1", grpc_port, 2**20)
        await grpc.start()
        await rest.serve()
        await grpc.stop(0)
        with contextlib.suppress(ValueError):  # no tasks
            await asyncio.wait(rest.server_state.tasks, timeout=1)

    thread = threading.Thread(target=asyncio.run, args=[serve()], daemon=True)
    thread.start()
    while not rest.started:
        time.sleep(0.01)
    yield SimpleNamespace(
        model=model,
        rest=rest,
        thread=thread,
        port=rest_port,
        grpc_port=grpc_port,
        num_waiting=lambda: 4 - queue._free._value,
    )
    rest.should_exit = True
    model.go_on.set()
    thread.join(10)
    queue.executor.shutdown()
