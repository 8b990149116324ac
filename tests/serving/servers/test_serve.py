"""The serve command as a process: sources, mistakes and signals."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import grpc
import numpy as np
import pytest

from lada_tf.serving.grpc_service import PredictionService, grpc_server
from tests.runner import free_ports
from tests.serving.servers.conftest import wait_until_ready


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ["--model=absent", "--rest_port=8503", "--grpc_port=8504"],
            "absent: no such model",
        ),
        (["--rest_port=0"], "--rest_port=0"),
        ([], "--rest_port="),  # the fixture's server uses it
    ],
)
def test_mistakes_exit_with_2_and_one_line(change, message, server):
    result = subprocess.run(
        [*server.command, *change], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 2
    (line,) = [s for s in result.stderr.splitlines() if s.startswith("error: ")]
    assert message in line
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("source", ["run", "portraits", "file"])
def test_a_generator_is_converted_and_served(source, generator, run_dir, tmp_path):
    file = tmp_path / "faces.keras"
    generator.save(file)
    model, name = {
        "run": (run_dir, "small"),
        "portraits": ("portraits", "portraits"),
        "file": (file, "faces.keras"),
    }[source]
    rest_port, grpc_port = free_ports(2)
    command = [sys.executable, "-m", "lada_tf.serve", f"--model={model}"]
    command += [f"--rest_port={rest_port}", f"--grpc_port={grpc_port}"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command, env=environment)
    try:
        url = f"http://127.0.0.1:{rest_port}"
        wait_until_ready(process, url)
        inputs = {"seed": 1, "num_images": 2, "truncation": 1.0}
        body = {"signature_name": "generate", "inputs": inputs}
        path = f"{url}/v1/models/{name}:predict"
        answer = json.load(urllib.request.urlopen(path, json.dumps(body).encode()))
        assert np.shape(answer["outputs"]) == (2, 32, 32, 3)
        assert not list(tmp_path.glob("lada_tf*"))
    finally:
        process.terminate()
    assert process.wait(timeout=30) == 0


def test_grpc_listens_on_an_ipv6_address(free_port):
    async def serve():
        service = PredictionService("x", None, None)
        server = grpc_server(service, "[::1]", free_port, 2**20)
        await server.start()
        async with grpc.aio.insecure_channel(f"[::1]:{free_port}") as channel:
            await asyncio.wait_for(channel.channel_ready(), timeout=30)
        await server.stop(0)

    asyncio.run(serve())


def test_a_second_signal_ends_the_server_at_once(server):
    rest_port, grpc_port = free_ports(2)
    ports = [f"--rest_port={rest_port}", f"--grpc_port={grpc_port}"]
    with subprocess.Popen([*server.command, *ports]) as process:
        wait_until_ready(process, f"http://127.0.0.1:{rest_port}")
        with socket.create_connection(("127.0.0.1", rest_port)) as slow:
            path = b"/v1/models/small:predict"
            slow.sendall(b"POST %s HTTP/1.1\r\nHost: [::1]\r\n" % path)
            slow.sendall(b"Content-Length: 10\r\n\r\n")
            time.sleep(0.2)
            process.terminate()
            time.sleep(0.5)
            assert process.poll() is None
            process.terminate()
            assert process.wait(timeout=3) == 128 + signal.SIGTERM
