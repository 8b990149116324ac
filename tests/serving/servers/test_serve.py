"""Errors of the serve command."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from lada_tf.serving.grpc_service import grpc_server


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--model=absent", "--rest_port=8503", "--grpc_port=8504"], "--model=absent"),
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


def test_grpc_listens_on_an_ipv6_address(free_port):
    with ThreadPoolExecutor(1) as executor:
        server = grpc_server("x", None, executor, "[::1]", free_port, 2**20)
        server.start()
        channel = grpc.insecure_channel(f"[::1]:{free_port}")
        grpc.channel_ready_future(channel).result(timeout=30)
        channel.close()
        server.stop(0).wait()
