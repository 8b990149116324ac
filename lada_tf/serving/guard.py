"""Refuse harmful requests to the demo page and the REST server."""

import asyncio
import collections
import ipaddress
import json
import math
import os
import re
import threading
import time
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import urlsplit

MAX_CLIENTS = 10_000  # clients that a rate limit remembers
# Gradio's routes that the page uses. Others fetch URLs or store files for anyone.
JOIN = "/gradio_api/queue/join"
FILE = "/gradio_api/file="
PAGES = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|manifest\.json)|/(assets|static)(/\w[\w.-]*)+|"
    r"/gradio_api/(startup-events|heartbeat/\w+|queue/data)"
)
MAX_RUNNING = 256  # simultaneous requests of all clients
MAX_RUNNING_PER_CLIENT = {"GET": 32, "HEAD": 32, "POST": 6}
MAX_QUEUED = 12  # waiting computations of a client
MAX_BODY = 16 * 2**10  # bytes
BODY_SECONDS = 10  # maximum time until a request has arrived


def cross_site_reason(scope: dict, hosts: Collection[str]) -> str | None:
    """Return a reason if a web page of another site may have sent a request, or None.

    The header `Host` must be an IP address or one of `hosts`. Otherwise, a page could
    reach the server under a DNS name that its author controls. The header `Origin`,
    which browsers add, must have the same host.

    Args:
        scope: ASGI scope of the request.
        hosts: allowed host names. "*" allows all.
    """
    headers = dict(scope["headers"])
    host = headers.get(b"host", b"").decode("latin-1").lower()
    origin = headers.get(b"origin", b"").decode("latin-1").lower()
    if host and "*" not in hosts and not _is_allowed(host, hosts):
        return (
            f"Host={host[:100]}: not allowed. The server must list it in allowed_hosts"
        )
    if origin and origin.partition("://")[2] != host:
        return "requests from pages of other hosts are not allowed"
    return None  # browsers always send Host


def _is_allowed(host: str, names: Collection[str]) -> bool:
    """Return True for an IP address or one of the names, with or without a port."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        is_named = name in (each.lower() for each in names)
        return is_named or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


class RateLimit:
    """A token bucket per client.

    Args:
        per_minute: requests that a client may make per minute.
        clock: returns the time in seconds.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic):
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens left, time
        self._lock = threading.Lock()

    def allows(self, client: str) -> bool:
        """Return whether the client may make a request now, and count it if so."""
        with self._lock:
            now = self._clock()
            tokens, then = self._buckets.pop(client, (self._per_minute, now))
            refill = (now - then) * self._per_minute / 60
            tokens = min(self._per_minute, tokens + refill)
            allowed = tokens >= 1
            self._buckets[client] = (tokens - allowed, now)  # moves to the end
            if len(self._buckets) > MAX_CLIENTS:
                del self._buckets[next(iter(self._buckets))]
        return allowed


class Guard:
    """ASGI middleware that passes only the requests of the demo page to Gradio.

    It refuses requests of other sites, see `cross_site_reason`, and requests of clients
    that send too many.

    Args:
        app: the ASGI app of the page.
        hosts: host names under which visitors may open the page.
        limit: limit for the requests that compute something.
        queued: function that returns how many computations of a client wait.
        files: directory of the files that visitors may download.
    """

    def __init__(
        self,
        app: Callable,
        hosts: Collection[str],
        limit: RateLimit,
        queued: Callable[[str], int],
        files: str | os.PathLike,
    ):
        self._app, self._hosts, self._limit = app, hosts, limit
        self._queued = queued
        self._files = os.path.realpath(files)
        self._running: collections.Counter = collections.Counter()

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if refusal := self._refusal(scope):
            return await _refuse(send, *refusal)
        key = scope["client"][0], scope["method"]
        self._running[key] += 1
        try:
            if scope["method"] == "POST":
                if not self._limit.allows(key[0]):
                    return await _refuse(send, 429, "Too many requests. Please wait.")
                receive = await _checked_body(receive)
            await self._app(scope, receive, send)
        except _RefusedError as error:
            await _refuse(send, *error.args)
        finally:
            self._running[key] -= 1
            self._running = +self._running  # drop the zeros

    def _refusal(self, scope: dict) -> tuple[int, str] | None:
        """Return the status and message of a refused request, or None."""
        if reason := cross_site_reason(scope, self._hosts):
            return 403, reason
        method, path = scope["method"], scope["path"]
        is_file = path.startswith(FILE) and self._is_ours(path.removeprefix(FILE))
        if not (path == JOIN or is_file or PAGES.fullmatch(path)):
            return 404, "Not found"
        if method not in (("POST",) if path == JOIN else ("GET", "HEAD")):
            return 405, "Method not allowed"
        client = scope["client"][0]
        too_many = self._running[client, method] >= MAX_RUNNING_PER_CLIENT[method] or (
            path == JOIN and self._queued(client) >= MAX_QUEUED
        )
        if too_many or self._running.total() >= MAX_RUNNING:
            return 503, "The page is busy. Please try again."
        return None

    def _is_ours(self, path: str) -> bool:
        try:
            return os.path.realpath(path).startswith(self._files + os.sep)
        except ValueError:  # a null byte
            return False


class _RefusedError(Exception):
    """A request is refused. The arguments are the status and the message."""


async def _checked_body(receive: Callable) -> Callable:
    """Read and check a request. Return a `receive` function with the checked body."""
    body, more = b"", True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more and len(body) <= MAX_BODY:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
    except TimeoutError as error:
        raise _RefusedError(408, "The request took too long") from error
    if len(body) > MAX_BODY:
        raise _RefusedError(413, "The request is too large")
    try:
        messages = [{"type": "http.request", "body": _checked_call(body)}]
    except Exception as error:  # other JSON fails in many ways
        raise _RefusedError(400, "The request is not valid for this page") from error

    async def receive_again() -> dict:
        return messages.pop() if messages else await receive()

    return receive_again


def _checked_call(body: bytes) -> bytes:
    """Return a call of a page function with nothing but its numbers and names.

    Gradio would fetch or copy a file that a client sends in place of a number.
    """
    call: dict[str, Any] = json.loads(body)
    data = call["data"]
    names = [value for value in data[:1] if isinstance(value, str)]  # the model
    numbers = data[len(names) :]
    if not all(value is None or math.isfinite(value) for value in numbers):
        raise ValueError("not a number")
    index = (call.get("event_data") or {}).get("index")
    if not (index is None or isinstance(index, int)):
        raise ValueError("not an index")
    kept = {name: call.get(name) for name in ("fn_index", "session_hash", "trigger_id")}
    event = {"index": index, "value": None}
    return json.dumps({"data": names + numbers, "event_data": event, **kept}).encode()


async def _refuse(send: Callable, status: int, message: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if status in (429, 503):
        headers.append((b"retry-after", b"5"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send(
        {"type": "http.response.body", "body": json.dumps({"error": message}).encode()}
    )
