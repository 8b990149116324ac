import socket

import pytest

from lada_tf.errors import UserError
from lada_tf.serving.ports import check_port, host_and_port


def test_ports_in_use_are_refused():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"rest_port={port}"):
            check_port("rest_port", "127.0.0.1", port)
    check_port("rest_port", "127.0.0.1", port)
    with pytest.raises(UserError, match="host=no such host"):
        check_port("rest_port", "no such host", port)


def test_addresses_as_in_a_url():
    assert host_and_port("127.0.0.1", 80) == "127.0.0.1:80"
    assert host_and_port("::1", 80) == "[::1]:80"
