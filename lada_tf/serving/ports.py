"""Addresses of servers."""

import socket

from lada_tf.errors import UserError


def host_and_port(host: str, port: int) -> str:
    """Return an address as in a URL: `[::1]:8500` for IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check_port(name: str, host: str, port: int) -> None:
    """Check that a server can listen on a port, before the work to start it.

    Raises:
        UserError: if it cannot, with `name=port`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise UserError(
            f"{name}={port}, host={host}: {error.strerror}. Choose another one"
        ) from error
