"""Without keys the service answers this machine by its own names, and changes nothing for a page from elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from service.guard import is_loopback
from tests.service.hands import SPEC, Service


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8000", "127.0.0.1", "localhost", "LOCALHOST:81", "[::1]:8000", "127.1.2.3:1"],
)
def test_names_of_this_machine_are_answered(embedded: Service, host: str):
    assert embedded.client.get("/livez", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["rebound.example", "rebound.example:8000", "127.0.0.1.rebound.example", "localhost.rebound.example", "192.0.2.7", "0.0.0.0", "[", "", "a@127.0.0.1@b", "::1"],  # noqa: S104 - a name that came
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/jobs", "/docs", "/openapi.json"])
def test_other_names_are_refused(embedded: Service, host: str, path: str):
    answer = embedded.client.get(path, headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign_host")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:3000", "http://[", ""])
def test_a_page_from_elsewhere_changes_nothing(embedded: Service, origin: str):
    job = embedded.post()
    for method, path in (
        ("POST", f"/v1/jobs/{job['id']}/cancel"),
        ("DELETE", f"/v1/jobs/{job['id']}"),
        ("POST", "/v1/jobs"),
    ):
        answer = embedded.client.request(method, path, headers={"Origin": origin})
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin"), path
    assert embedded.client.get(f"/v1/jobs/{job['id']}", headers={"Origin": origin}).json()["status"] == "queued"


def test_its_own_page_may(embedded: Service):
    headers = {"Origin": "http://127.0.0.1:8000"}
    assert embedded.client.post("/v1/jobs", json=SPEC, headers=headers).status_code == 202


def test_with_keys_any_name_will_do(serve: Callable[..., Service]):
    service = serve(api_keys="a-key")
    headers = {"Host": "gradclinic.example", "Origin": "https://proxy.example", "Authorization": "Bearer a-key"}
    assert service.client.post("/v1/jobs", json=SPEC, headers=headers).status_code == 202


def test_what_is_loopback():
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "::1", "127.255.0.1")))
    assert not any(map(is_loopback, ("", "0.0.0.0", "::", "example.org", "127.0.0.1.example.org")))  # noqa: S104 - no
