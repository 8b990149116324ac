"""Errors of the serve command."""

import subprocess

import pytest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--model=absent"], "model=absent"),
        (["--rest_port=0"], "--rest_port=0"),
        ([], "--grpc_port="),  # the fixture's server has it
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
