"""API keys: /v1 opens to those that are set, and to nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.service.hands import SPEC, Service


@pytest.fixture
def locked(serve: Callable[..., Service]) -> Service:
    return serve(api_keys="first-key, second-key")


@pytest.mark.parametrize(
    "header", [None, "Bearer wrong", "Bearer first-key, second-key", "Basic first-key", "Bearer ", "first-key"]
)
def test_without_a_known_key_nothing_opens(locked: Service, header: str | None):
    headers = {} if header is None else {"Authorization": header}
    for method, path in (
        ("GET", "/v1/jobs"),
        ("POST", "/v1/jobs"),
        ("GET", "/v1/rules"),
        ("GET", "/v1/runs/x/history"),
    ):
        answer = locked.client.request(method, path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), (method, path)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("key", ["first-key", "second-key"])
def test_each_known_key_opens(locked: Service, key: str):
    headers = {"Authorization": f"Bearer {key}"}
    assert locked.client.post("/v1/jobs", json=SPEC, headers=headers).status_code == 202
    assert locked.client.get("/v1/jobs", headers=headers | {"Authorization": f"bearer {key}"}).status_code == 200


def test_probes_and_documentation_stay_open(locked: Service):
    for path in ("/livez", "/readyz", "/docs", "/openapi.json"):
        assert locked.client.get(path).status_code == 200


def test_every_route_under_v1_is_locked(locked: Service):
    for path, operations in locked.app.openapi()["paths"].items():
        for method in operations if path.startswith("/v1") else ():
            assert locked.client.request(method, path).status_code == 401, (method, path)
