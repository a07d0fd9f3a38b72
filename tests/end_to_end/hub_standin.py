"""A stand-in for a hub of models, on this machine: what its library asks for, and what it answers when it refuses."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

TOKEN = "hf_of_the_tests"


@dataclass
class Repository:
    """Branches, by name, to commits; commits to files."""

    private: bool
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, bytes], gone: Sequence[str] = ()) -> str:
        """Files on top of what a branch has, without others."""
        before = self.commits.get(self.branches.get(branch, ""), {})
        every = {**{path: data for path, data in before.items() if path not in gone}, **files}
        told = hashlib.sha1(repr((branch, len(self.commits), sorted(every.items()))).encode()).hexdigest()
        self.branches[branch], self.commits[told] = told, every
        return told


class Hub:
    """The repositories, what was asked for, and how answers are spoilt."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.asked: list[str] = []
        self.spoilt: str = ""  # files whose names end so come with other bytes
        self.short: str = ""  # and these are cut
        self.endpoint = ""

    def answer(self, method: str, path: str, body: bytes, token: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        self.asked.append(f"{method} {path}")
        path = path.partition("?")[0]
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return _json({"errors": [], "warnings": []})
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree|preupload|commit|branch)/([^/]+))?", path)
        raw = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        name = found[1] if found else raw[1] if raw else ""
        repository = self.repositories.get(name)
        if repository is None or (repository.private and token != f"Bearer {TOKEN}"):
            status = 404 if token else 401
            return status, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, b""
        if raw:
            return self._file(repository, raw[2], raw[3])
        assert found is not None
        verb, revision = found[2] or "revision", found[3] or "main"
        if verb in ("preupload", "commit", "branch") and token != f"Bearer {TOKEN}":
            return 401, {"X-Error-Message": "Invalid username or password."}, b""
        if verb == "branch":
            if revision in repository.branches:
                return 409, {}, b"{}"
            repository.commit(revision, {})
            return _json({})
        if verb == "preupload":
            files = [
                {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                for each in json.loads(body)["files"]
            ]
            return _json({"files": files})
        if verb == "commit":
            lines = [json.loads(line) for line in body.splitlines()]
            files = {
                line["value"]["path"]: base64.b64decode(line["value"]["content"])
                for line in lines
                if line["key"] == "file"
            }
            gone = [line["value"]["path"] for line in lines if line["key"] == "deletedFile"]
            commit = repository.commit(revision, files, gone)
            return _json({"success": True, "commitOid": commit, "commitUrl": f"{self.endpoint}/{name}/commit/{commit}"})
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            return 404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"}, b""
        files = repository.commits[commit]
        if verb == "tree":
            return _json([_entry(path, data) for path, data in files.items()])
        about = {"id": name, "modelId": name, "sha": commit, "private": repository.private}
        return _json({**about, "siblings": [{"rfilename": path} for path in files], "tags": [], "downloads": 0})

    def _create(self, wanted: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        name = f"{wanted['organization']}/{wanted['name']}" if wanted.get("organization") else wanted["name"]
        if name in self.repositories:
            return 409, {}, json.dumps({"url": f"{self.endpoint}/{name}", "error": "exists"}).encode()
        private = wanted.get("private") or wanted.get("visibility") == "private"
        self.repositories[name] = Repository(bool(private))
        self.repositories[name].commit("main", {".gitattributes": b""})
        return _json({"url": f"{self.endpoint}/{name}", "name": name})

    def _file(self, repository: Repository, revision: str, path: str) -> tuple[int, dict[str, str], bytes]:
        commit = repository.branches.get(revision, revision)
        files = repository.commits.get(commit, {})
        if path not in files:
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b""
        data = files[path]
        about = {"X-Repo-Commit": commit, "ETag": f'"{_oid(data)}"'}
        if self.spoilt and path.endswith(self.spoilt):
            data = data[:-1] + bytes([data[-1] ^ 1])
        return 200, about, data


def _oid(data: bytes) -> str:
    """A file's name in git."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _entry(path: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(data), "oid": _oid(data)}


def _json(value: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that answers at ``endpoint`` while the block runs."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self._body()
            token = self.headers.get("Authorization", "")
            status, headers, data = hub.answer(self.command, self.path, body, token)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                short = hub.short and self.path.endswith(hub.short) and "/resolve/" in self.path
                self.wfile.write(data[: len(data) // 2] if short else data)
                self.close_connection = bool(short) or self.close_connection

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        do_GET = do_POST = do_HEAD = _answer

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
