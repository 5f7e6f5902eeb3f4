"""Every error is problem+json with a code, the request's id, and nothing about our insides."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from service.posted import MAX_BODY_BYTES
from tests.service.hands import SPEC, Service

MEMBERS = ["type", "title", "status", "detail", "code", "request_id", "errors"]


def assert_problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert list(problem) == MEMBERS
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert problem["type"] == f"urn:gradclinic:problem:{code}"
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    return problem


def test_an_unknown_path(embedded: Service):
    problem = assert_problem(embedded.client.get("/v1/nothing"), 404, "not_found")
    assert "/v1/nothing" in problem["detail"]
    assert_problem(embedded.client.get("/docs/../../etc/passwd"), 404, "not_found")
    assert_problem(embedded.client.get("/docs/LICENSE"), 404, "not_found")


def test_a_wrong_method_says_which_are_right(embedded: Service):
    answer = embedded.client.put("/v1/jobs", json=SPEC)
    assert_problem(answer, 405, "method_not_allowed")
    assert set(re.split(r",\s*", answer.headers["Allow"])) <= {"GET", "POST"}


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/specs/validate"])
class TestBodies:
    @pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
    def test_a_wrong_content_type(self, embedded: Service, path: str, kind: str | None):
        headers = {} if kind is None else {"Content-Type": kind}
        answer = embedded.client.post(path, content=json.dumps(SPEC).encode(), headers=headers)
        assert "application/json" in assert_problem(answer, 415, "unsupported_media_type")["detail"]

    @pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/spec+json"])
    def test_content_types_that_are_json(self, embedded: Service, path: str, kind: str):
        answer = embedded.client.post(path, content=b"{", headers={"Content-Type": kind})
        assert_problem(answer, 422, "invalid_spec")

    def test_a_compressed_body(self, embedded: Service, path: str):
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        assert_problem(embedded.client.post(path, content=b"x", headers=headers), 415, "unsupported_media_type")

    def test_a_body_that_is_too_large(self, embedded: Service, path: str):
        large = json.dumps({"name": "x" * MAX_BODY_BYTES})
        headers = {"Content-Type": "application/json"}
        problem = assert_problem(embedded.client.post(path, content=large, headers=headers), 413, "body_too_large")
        assert f"{MAX_BODY_BYTES:,}" in problem["detail"]

    def test_what_arrives_counts_and_not_what_was_announced(self, embedded: Service, path: str):
        def trickle() -> Iterator[bytes]:
            for _ in range(20):
                yield b" " * (MAX_BODY_BYTES // 10)

        headers = {"Content-Type": "application/json"}
        assert_problem(embedded.client.post(path, content=trickle(), headers=headers), 413, "body_too_large")
        lying = headers | {"Content-Length": "10"}
        assert_problem(embedded.client.post(path, content=trickle(), headers=lying), 413, "body_too_large")


class TestRequestIds:
    def test_a_callers_own_id_is_taken_over(self, embedded: Service):
        answer = embedded.client.get("/v1/nothing", headers={"X-Request-Id": "build-7.3"})
        assert answer.json()["request_id"] == answer.headers["X-Request-Id"] == "build-7.3"

    @pytest.mark.parametrize("given", ["", "a b", "x" * 200, 'a"b', "é"])
    def test_one_that_could_harm_a_log_is_replaced(self, embedded: Service, given: str):
        answer = embedded.client.get("/livez", headers={"X-Request-Id": given.encode("latin-1")})
        assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-Id"])

    def test_each_request_has_its_own(self, embedded: Service):
        assert len({embedded.client.get("/livez").headers["X-Request-Id"] for _ in range(5)}) == 5


class TestOurOwnFaults:
    def test_they_show_nothing_but_the_request_id(
        self, serve: Callable[..., Service], capsys: pytest.CaptureFixture[str]
    ):
        service = serve()

        @service.app.get("/broken")
        def broken() -> None:
            raise RuntimeError("a secret of our insides")

        answer = service.client.get("/broken", headers={"X-Request-Id": "who-asked"})
        problem = assert_problem(answer, 500, "internal_error")
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
        assert "who-asked" in problem["detail"]
        logged = capsys.readouterr().err
        assert "a secret of our insides" in logged
        assert "who-asked" in logged

    def test_a_database_that_is_gone_is_a_503(self, serve: Callable[..., Service]):
        service = serve()

        @service.app.get("/gone")
        def gone() -> None:
            raise OperationalError("SELECT secret", {}, Exception("connection refused"))

        answer = service.client.get("/gone")
        problem = assert_problem(answer, 503, "store_unavailable")
        assert answer.headers["Retry-After"] == "1"
        assert "secret" not in json.dumps(problem)

    def test_an_error_of_the_domain_that_no_caller_can_cause_is_a_500(self, serve: Callable[..., Service]):
        from gradclinic.errors import LeaseLost  # noqa: PLC0415 - the one test that needs it

        service = serve()

        @service.app.get("/lost")
        def lost() -> None:
            raise LeaseLost("never over HTTP")

        assert_problem(service.client.get("/lost"), 500, "internal_error")


def test_no_answer_can_be_framed_or_sniffed(embedded: Service):
    for path in ("/livez", "/v1/jobs", "/docs", "/nothing"):
        headers = embedded.client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
