"""A service of this test's own on a real loopback socket: it answers what it was told to, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    lost: bool = False
    """Close the connection without an answer."""


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Any


class StubService:
    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self._answers: dict[tuple[str, str], list[Answer]] = {}

    def on(self, method: str, path: str, *answers: Answer) -> None:
        """Answer these in turn, and the last one from then on."""
        self._answers[(method, path)] = list(answers)

    def next_answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        answers = self._answers.get((asked.method, asked.path))
        if not answers:
            return problem(404, "not_found", f"There is nothing at {asked.path}.")
        return answers.pop(0) if len(answers) > 1 else answers[0]


def problem(status: int, code: str, detail: str, errors: list[dict[str, Any]] | None = None) -> Answer:
    document = {"type": f"urn:x:{code}", "title": code, "status": status, "detail": detail, "code": code}
    return Answer(
        status, {**document, "request_id": "r-1", "errors": errors or []}, content_type="application/problem+json"
    )


@contextmanager
def stub_service() -> Iterator[StubService]:
    stub = StubService()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            raw_body = self.rfile.read(length)
            is_json = self.headers.get("Content-Type") == "application/json"
            body = json.loads(raw_body) if is_json else raw_body or None
            path, _, query = self.path.partition("?")
            headers = {key.lower(): value for key, value in self.headers.items()}
            answer = stub.next_answer(Asked(self.command, path, query, headers, body))
            if answer.lost:
                self.close_connection = True
                return
            text = "" if answer.body is None else json.dumps(answer.body)
            raw = (answer.body if isinstance(answer.body, str) else text).encode()
            self.send_response(answer.status)
            for key, value in {"Content-Type": answer.content_type, **answer.headers}.items():
                self.send_header(key, value)
            if "Content-Length" in answer.headers:  # another length than what follows: the connection ends too early
                self.close_connection = True
            else:
                self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            if answer.status not in {204, 304}:
                self.wfile.write(raw)

        do_GET = do_POST = do_DELETE = _handle  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
