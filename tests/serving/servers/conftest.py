"""A process of the serve command, and a client for it."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest

from lada_tf.serving.saved_model import write_saved_model


@pytest.fixture(scope="session")
def server(generator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "small"
    write_saved_model(generator, folder / "3", max_batch=8)
    rest_port, grpc_port = _free_ports(2)
    command = [sys.executable, "-m", "lada_tf.serve", f"--model={folder}"]
    command += [f"--rest_port={rest_port}", f"--grpc_port={grpc_port}"]
    log = folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen([*command, "--max_request_mb=1"], stderr=file)
    url = f"http://127.0.0.1:{rest_port}"
    try:
        _wait_until_ready(process, url, log)
        yield SimpleNamespace(
            url=url, grpc=f"127.0.0.1:{grpc_port}", command=command, log=log
        )
        assert process.poll() is None, "the server died of a request"
    finally:
        process.terminate()
    assert process.wait(timeout=30) == 0


@pytest.fixture
def free_port():
    (port,) = _free_ports(1)
    return port


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait_until_ready(process, url, log):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            return urllib.request.urlopen(f"{url}/v2/health/ready")
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="session")
def post(server):
    """Return a function that posts JSON or bytes, and returns status and answer."""

    def post(path, body, headers=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if headers is None else headers
        request = urllib.request.Request(server.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    return post
