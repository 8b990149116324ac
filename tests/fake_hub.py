"""A local Hugging Face Hub with the endpoints that huggingface_hub calls for models.

>>> def test(fake_hub):
...     fake_hub.add("user/repo", {"config.json": b"{}"})
...     huggingface_hub.snapshot_download("user/repo")
"""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

TOKEN = "hf_test"
NOWHERE = "http://127.0.0.1:1"  # refuses connections


class FakeHub(http.server.ThreadingHTTPServer):
    """The server.

    Attributes:
        commits: files by path, by hash of the commit.
        branches: hash of the commit, by (repository, branch).
        private: repositories that need `TOKEN`.
        gated: repositories whose terms nobody has accepted.
        messages: messages of the commits, in order.
        downloads: paths of the files that were sent, in order.
    """

    def __init__(self, home: Path):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.cache = home / "hub"
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[tuple[str, str], str] = {}
        self.private: set[str] = set()
        self.gated: set[str] = set()
        self.messages: list[str] = []
        self.downloads: list[str] = []

    def add(self, repo: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Commit files to a branch that may be new. Return the hash of the commit."""
        files = self.files(repo, branch) | files
        content = repr((repo, sorted(files.items()))).encode()
        commit = hashlib.sha1(content).hexdigest()
        self.commits[commit] = files
        self.branches[repo, branch] = commit
        return commit

    def files(self, repo: str, branch: str = "main") -> dict[str, bytes]:
        """Return the files of a branch."""
        return self.commits.get(self.branches.get((repo, branch), ""), {})


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeHub

    def do_GET(self):
        path = urllib.parse.unquote(self.path.partition("?")[0])
        if match := re.fullmatch(r"/api/models/(.+?/.+?)/revision/(.+)", path):
            if commit := self._commit(*match.groups()):
                siblings = [{"rfilename": n} for n in self.server.commits[commit]]
                self._send({"id": match[1], "sha": commit, "siblings": siblings})
        elif match := re.fullmatch(r"/api/models/(.+?/.+?)/tree/(.+)", path):
            if commit := self._commit(*match.groups()):
                self._send(
                    [
                        {"type": "file", "path": n, "size": len(f), "oid": _hash(f)}
                        for n, f in self.server.commits[commit].items()
                    ]
                )
        elif match := re.fullmatch(r"/(.+?/.+?)/resolve/([^/]+)/(.+)", path):
            if commit := self._commit(match[1], match[2]):
                self._send_file(commit, match[3])
        else:
            self._fail(404, "EntryNotFound")

    do_HEAD = do_GET

    def do_POST(self):
        body = self._body()
        path = self.path.partition("?")[0]
        if path == "/api/validate-yaml":
            return self._send({"errors": [], "warnings": []})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._fail(401, "")
        server, lines = self.server, [json.loads(line) for line in body.splitlines()]
        if path == "/api/repos/create":
            repo = f"{lines[0]['organization']}/{lines[0]['name']}"
            url = {"url": f"{server.endpoint}/{repo}"}
            if (repo, "main") in server.branches:
                return self._send(url, 409)
            server.add(repo, {".gitattributes": b""})
            if lines[0].get("private") or lines[0].get("visibility") == "private":
                server.private.add(repo)
            return self._send(url)
        match = re.fullmatch(r"/api/models/(.+?/.+?)/(\w+)/(.+)", path)
        repo, action, branch = match.groups()
        if action == "branch":
            server.add(repo, server.files(repo), branch)
            return self._send({})
        if not self._commit(repo, branch):
            return None
        if action == "preupload":
            modes = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                for f in lines[0]["files"]
            ]
            return self._send({"files": modes})
        values = [(line["key"], line["value"]) for line in lines]
        server.messages += [v["summary"] for key, v in values if key == "header"]
        files = {v["path"]: v["content"] for key, v in values if key == "file"}
        files = {name: base64.b64decode(text) for name, text in files.items()}
        commit = server.add(repo, files, branch)
        url = f"{server.endpoint}/{repo}/commit/{commit}"
        return self._send({"commitUrl": url, "commitOid": commit, "success": True})

    def _commit(self, repo: str, revision: str) -> str | None:
        """Return the hash of a revision, or answer with an error."""
        server = self.server
        is_known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        commit = server.branches.get((repo, revision), revision)
        if (repo, "main") not in server.branches:
            self._fail(404, "RepoNotFound")
        elif repo in server.private and not is_known:
            self._fail(
                404 if self.headers.get("Authorization") else 401, "RepoNotFound"
            )
        elif repo in server.gated:
            self._fail(403, "GatedRepo")
        elif commit not in server.commits:
            self._fail(404, "RevisionNotFound")
        else:
            return commit
        return None

    def _send_file(self, commit: str, name: str) -> None:
        content = self.server.commits[commit].get(name)
        if content is None:
            return self._fail(404, "EntryNotFound")
        if self.command == "GET":
            self.server.downloads.append(name)
        headers = {"ETag": f'"{_hash(content)}"', "X-Repo-Commit": commit}
        return self._answer(200, content, headers)

    def _send(self, content: object, status: int = 200) -> None:
        self._answer(status, json.dumps(content).encode(), {})

    def _fail(self, status: int, code: str) -> None:
        self._answer(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code})

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def log_message(self, *_):
        pass


def _hash(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@contextlib.contextmanager
def serve(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """Yield a `FakeHub` that huggingface_hub uses in this process, logged in."""
    with FakeHub(home) as hub:
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub.cache))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        use_endpoint(hub.endpoint, monkeypatch)
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        yield hub
        hub.shutdown()


def use_endpoint(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change HF_ENDPOINT in this process, for example to `NOWHERE`."""
    template = f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
