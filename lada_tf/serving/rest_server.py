"""HTTP server of the REST endpoints.

It protects itself from slow clients and from pages of other sites.
"""

import os
from collections.abc import Collection

import h11
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from uvicorn.protocols.http.h11_impl import H11Protocol

from lada_tf.serving.guard import cross_site_reason
from lada_tf.serving.predictor import BadRequest
from lada_tf.serving.rest import (
    IDLE_SECONDS,
    RestService,
    error_response,
    refuse,
    transfer_seconds,
)

REQUEST_SECONDS = 600  # maximum time from a request's header to its answer
MAX_CONNECTIONS = 4096


class HostCheck:
    """ASGI middleware that refuses requests of other sites, see `cross_site_reason`."""

    def __init__(self, app, hosts: Collection[str]):
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope, receive, send):
        reason = cross_site_reason(scope, self._hosts)
        await (error_response(403, reason) if reason else self._app)(
            scope, receive, send
        )


class TimedProtocol(H11Protocol):
    """uvicorn's HTTP protocol. It also closes the connections of slow clients.

    uvicorn limits neither the time until a header arrives nor the time until an answer
    is read.
    """

    def connection_made(self, transport) -> None:
        super().connection_made(transport)
        self._timer = self.loop.call_later(IDLE_SECONDS, transport.abort)

    def handle_events(self) -> None:
        try:
            super().handle_events()
        except h11.LocalProtocolError:  # malformed data after the start of an answer
            self.transport.abort()
        is_running = self.cycle and not self.cycle.response_complete
        if is_running and not self.flow.write_paused:  # the last answer was read
            self._restart_timer(REQUEST_SECONDS)

    def on_response_complete(self) -> None:
        self._restart_timer(transfer_seconds(self.transport.get_write_buffer_size()))
        super().on_response_complete()  # may start the next request

    def connection_lost(self, exc) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def _restart_timer(self, seconds: float) -> None:
        self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self.transport.abort)


class Server(uvicorn.Server):
    """uvicorn's server. The second signal ends the process at once."""

    should_exit: bool

    def handle_exit(self, sig, frame) -> None:
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True  # unlike uvicorn, do not raise the signal again later

    def unread_bytes(self) -> int:
        """Return the size of the answers that clients have not read yet."""
        connections = list(self.server_state.connections)
        return sum(c.transport.get_write_buffer_size() for c in connections)


def rest_server(
    service: RestService,
    host: str,
    port: int,
    allowed_hosts: Collection[str],
    grace: int,
) -> Server:
    """Return a server of one model. Its `serve()` runs until `should_exit` is True."""
    app = Starlette(
        routes=service.routes(),
        exception_handlers={HTTPException: refuse, BadRequest: refuse},
    )
    app.router.redirect_slashes = False
    app.add_middleware(HostCheck, hosts=allowed_hosts)
    config = uvicorn.Config(
        app,
        host,
        port,
        http=TimedProtocol,
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=grace,
    )
    server = Server(config)
    service.unread_bytes = server.unread_bytes
    return server
