"""The guard in front of the demo page, without Gradio."""

import asyncio
import json

import pytest

from lada_tf.serving import guard
from lada_tf.serving.guard import JOIN, Guard, RateLimit


def test_rate_limit_is_for_each_client_and_refills():
    now = [0.0]
    limit = RateLimit(3, clock=lambda: now[0])
    assert [limit.allows("a") for _ in range(4)] == [True, True, True, False]
    assert limit.allows("b")
    now[0] = 19.9  # a token every 20 seconds
    assert not limit.allows("a")
    now[0] = 40.1
    assert [limit.allows("a") for _ in range(3)] == [True, True, False]
    now[0] = 1000
    assert [limit.allows("a") for _ in range(4)] == [True, True, True, False]


CALL = {"data": ["model", 0, 24, None, True, 0.5], "fn_index": 1, "session_hash": "a"}


class Page:
    """An ASGI app behind a guard. It records what reaches it."""

    def __init__(self, files, per_minute=1000):
        self.bodies, self.scopes, self.wait = [], [], None
        self.waiting = {}
        limit = RateLimit(per_minute)
        queued = lambda client: self.waiting.get(client, 0)  # noqa: E731
        self.guard = Guard(self, {"demo.example"}, limit, queued, files)

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        if scope["method"] == "POST":
            self.bodies.append(json.loads((await receive())["body"]))
        if self.wait:
            await self.wait.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask(self, method, path, body=None, client="1.2.3.4", **headers):
        headers = {"host": "127.0.0.1:7860"} | headers
        scope = {"type": "http", "method": method, "path": path, "client": (client, 9)}
        scope["headers"] = [(k.encode(), v.encode()) for k, v in headers.items()]
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        sent = []

        async def receive():
            if body is None:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": body}

        async def send(message):
            sent.append(message)

        await self.guard(scope, receive, send)
        return sent[0]["status"]

    def status(self, *args, **kwargs):
        return asyncio.run(self.ask(*args, **kwargs))


@pytest.fixture
def page(tmp_path):
    (tmp_path / "cache").mkdir()
    return Page(tmp_path / "cache")


@pytest.mark.parametrize("host", ["localhost", "evil.example", "a@[1]", "["])
def test_a_host_that_is_not_allowed_is_refused(page, host):
    assert page.status("GET", "/", host=host) == 403
    assert not page.scopes


@pytest.mark.parametrize("host", ["demo.example:7860", "10.0.0.7", "[::1]:80"])
def test_allowed_names_and_addresses_open_the_page(page, host):
    assert page.status("GET", "/", host=host) == 200
    assert page.status("POST", JOIN, CALL, host=host, origin=f"https://{host}") == 200
    for origin in ("null", "https://evil.example", f"http://{host}.evil.example"):
        assert page.status("POST", JOIN, CALL, host=host, origin=origin) == 403


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/upload",
        "/gradio_api/file=http://example.com/",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=CACHE/../../etc/passwd",
        "/gradio_api/file=CACHE",
        "/gradio_api/file=\0",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/proxy=http://example.com/",
        "/gradio_api/call/predict",
        "/gradio_api/queue/status",
        "/gradio_api/info",
        "/gradio_api/run/predict",
        "/assets/../config",
        "/assets//etc/passwd",
        "/monitoring",
        "//",
        "/\n",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_other_routes_do_not_exist(page, tmp_path, path, method):
    path = path.replace("CACHE", str(tmp_path / "cache"))
    assert page.status(method, path) in (404, 405)
    assert not page.scopes


def test_files_that_the_page_made_are_served(page, tmp_path):
    assert page.status("GET", f"/gradio_api/file={tmp_path}/cache/a/b.png") == 200
    assert page.status("POST", f"/gradio_api/file={tmp_path}/cache/a/b.png") == 405
    (tmp_path / "cache" / "link").symlink_to("/etc/passwd")
    assert page.status("GET", f"/gradio_api/file={tmp_path}/cache/link") == 404


FILE_DATA = {"path": "http://example.com", "meta": {"_type": "gradio.FileData"}}


def test_only_numbers_and_names_reach_the_page(page):
    event = {"index": 4, "value": {"image": FILE_DATA}}
    call = CALL | {"event_data": event, "event_id": "x", "batched": True}
    assert page.status("POST", JOIN, call) == 200
    kept = {"trigger_id": None, "event_data": {"index": 4, "value": None}}
    assert page.bodies == [CALL | kept]
    for data in (
        [FILE_DATA],
        ["a", FILE_DATA],
        ["a", [1]],
        ["a", "b"],
        ["a", ""],
        ["a", {}],
        {"a": 1},
        5,
    ):
        assert page.status("POST", JOIN, CALL | {"data": data}) == 400, data
    for body in (b"", b"[]", b"\xff", b"[" * 9999, b'{"data": [NaN, 1e999]}'):
        assert page.status("POST", JOIN, body) == 400, body
    assert page.status("POST", JOIN, b" " * 20_000) == 413
    assert len(page.bodies) == 1


def test_a_missing_body_is_refused(page, monkeypatch):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.01)
    assert page.status("POST", JOIN) == 408


def test_one_visitor_cannot_keep_others_out(page):
    async def visit():
        page.wait = asyncio.Event()
        many = [asyncio.create_task(page.ask("POST", JOIN, CALL)) for _ in range(50)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        other = asyncio.create_task(page.ask("POST", JOIN, CALL, client="5.6.7.8"))
        await asyncio.sleep(0)
        page.wait.set()
        first = [await task for task in many]
        return first, await other, await page.ask("POST", JOIN, CALL)

    first, other, later = asyncio.run(visit())
    assert first.count(200) < 20
    assert first.count(503) > 30
    assert (other, later) == (200, 200)
    page.waiting["1.2.3.4"] = 20
    assert page.status("POST", JOIN, CALL) == 503
    assert page.status("POST", JOIN, CALL, client="5.6.7.8") == 200


def test_the_rate_limit_ignores_forwarding_headers(tmp_path):
    page = Page(tmp_path, per_minute=3)
    forwarded = [{"x-forwarded-for": f"9.9.9.{i}"} for i in range(4)]
    assert [page.status("POST", JOIN, CALL, **h) for h in forwarded] == [200] * 3 + [
        429
    ]
    assert page.status("POST", JOIN, CALL, client="5.6.7.8") == 200
