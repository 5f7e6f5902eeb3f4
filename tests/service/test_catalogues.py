"""The catalogues, the probes and the documentation's page."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from gradclinic.contract.catalogue import FixInfo, LayerInfo, RuleInfo
from gradclinic.contract.diagnosis import Effect
from gradclinic.contract.schema import spec_schema
from gradclinic.diagnosis import RULES, THRESHOLDS
from tests.service.hands import DIAGNOSIS, Service


def items(service: Service, path: str) -> list[dict[str, Any]]:
    page = service.client.get(path).json()
    assert page["next_cursor"] is None
    found: list[dict[str, Any]] = page["items"]
    return found


def test_rules_are_listed_with_their_thresholds(embedded: Service):
    rules = [RuleInfo.model_validate(item) for item in items(embedded, "/v1/rules")]
    assert len(rules) == len(RULES)
    assert {threshold.name for rule in rules for threshold in rule.thresholds} <= set(THRESHOLDS)


def test_fixes_are_listed(embedded: Service):
    assert {FixInfo.model_validate(item).kind for item in items(embedded, "/v1/fixes")} >= {
        "activation",
        "learning_rate",
    }


def test_fixes_come_with_what_was_measured_of_them(service: Service):
    assert all(item["measured"] == [] for item in items(service, "/v1/fixes"))
    for verdict, fixed in (("verified", 0.9), ("harmful", 0.1), ("no_effect", 0.5)):
        effect = Effect(
            metric="accuracy",
            baseline=0.5,
            fixed=fixed,
            difference_ci95=None,
            seeds=3,
            findings_resolved=[],
            findings_introduced=[],
        )
        tried = DIAGNOSIS.fixes[0].model_copy(update={"verdict": verdict, "effect": effect})
        chain = tried.model_copy(update={"id": "chain", "chain": ["activation-1", "broken-1"]})
        claim = service.claim(service.post()["id"])
        service.finish(claim, DIAGNOSIS.model_copy(update={"fixes": [tried, chain, DIAGNOSIS.fixes[1]]}))
    found = {item["kind"]: item["measured"] for item in items(service, "/v1/fixes")}
    record = {"rule": "vanishing_gradient", "tries": 3, "helped": 1, "harmed": 1, "median_effect": 0.0}
    assert {kind: measured for kind, measured in found.items() if measured} == {"activation": [record]}


def test_layers_are_listed_with_their_keywords(embedded: Service):
    layers = {item["type"]: LayerInfo.model_validate(item) for item in items(embedded, "/v1/layers")}
    assert layers["Linear"].json_schema["required"] == ["type", "out_features"]
    assert layers["ReLU"].group == "activation"
    assert layers["Repeat"].group == "combinator"
    assert "times" in layers["Repeat"].json_schema["properties"]


def test_references_of_layers_lead_into_the_openapi_document(embedded: Service):
    schemas = embedded.app.openapi()["components"]["schemas"]
    found = re.findall(r'"\$ref":\s*"([^"]+)"', embedded.client.get("/v1/layers").text)
    assert found
    for reference in found:
        assert reference.removeprefix("/openapi.json#/components/schemas/") in schemas


class TestProbes:
    def test_the_process_lives(self, embedded: Service):
        assert embedded.client.get("/livez").json() == {"status": "alive"}

    def test_the_embedded_system_is_ready_without_a_broker(self, service: Service):
        answer = service.client.get("/readyz")
        checks = {"database": "ok", "migrations": "ok", "broker": "none"}
        assert (answer.status_code, answer.json()) == (200, {"status": "ready", "workers": 0, "checks": checks})

    def test_a_broker_that_is_gone_degrades(self, serve: Callable[..., Service]):
        service = serve(broker_url="redis://127.0.0.1:1/0")
        answer = service.client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert answer.json()["checks"]["broker"] == "unreachable"

    def test_a_job_is_taken_in_without_the_broker(self, serve: Callable[..., Service]):
        assert serve(broker_url="redis://127.0.0.1:1/0").post()["status"] == "queued"

    def test_a_database_of_another_version_is_not_ready(self, serve: Callable[..., Service]):
        service = serve()
        with service.store.writing() as writer:
            writer.connection.execute(text("UPDATE alembic_version SET version_num = 'older'"))
        answer = service.client.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")


class TestPage:
    def test_the_front_door_leads_to_the_documentation(self, embedded: Service):
        answer = embedded.client.get("/", follow_redirects=True)
        assert (answer.status_code, answer.url.path) == (200, "/docs")

    @pytest.mark.parametrize("path", ["/", "/docs", "/docs/swagger-ui.css"])
    def test_who_asks_for_the_head_alone_gets_it(self, embedded: Service, path: str):
        head, whole = embedded.client.head(path), embedded.client.get(path)
        assert (head.status_code, head.content) == (whole.status_code, b"")
        assert head.headers["Content-Type" if whole.content else "Location"]

    def test_the_page_needs_nothing_but_this_service(self, embedded: Service):
        page = embedded.client.get("/docs")
        assert "//" not in re.sub(r"<!doctype.*?>", "", page.text)
        linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(linked) == 5
        for link in linked:
            answer = embedded.client.get(f"/{link}")
            assert answer.status_code == 200, link
            assert answer.content

    def test_the_policy_forbids_scripts_from_elsewhere_and_inside_the_page(self, embedded: Service):
        page = embedded.client.get("/docs")
        policy = page.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert re.findall(r"<script(?![^>]*\bsrc=)", page.text) == []

    @pytest.mark.parametrize(
        ("asset", "kind"), [("swagger-ui-bundle.js", "text/javascript"), ("swagger-ui.css", "text/css")]
    )
    def test_assets_have_their_type(self, embedded: Service, asset: str, kind: str):
        assert embedded.client.get(f"/docs/{asset}").headers["Content-Type"].startswith(kind)


def test_the_schema_of_a_spec_is_the_one_that_the_command_line_prints(embedded: Service):
    answer = embedded.client.get("/v1/schema")
    assert answer.headers["Content-Type"] == "application/schema+json"
    assert answer.json() == spec_schema()
