"""The OpenAPI document is a product: it is complete, and it does not change unnoticed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gradclinic.contract.parse import parse_spec
from service.examples import DEEP_SIGMOID
from tests.service.hands import Service

SNAPSHOT = Path(__file__).parent / "openapi.json"
EXAMPLE = Path(__file__).parents[2] / "examples" / "deep-sigmoid-digits.json"


@pytest.fixture(scope="module")
def document(embedded: Service) -> dict[str, Any]:
    found: dict[str, Any] = embedded.client.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_it_changes_only_on_purpose(document: dict[str, Any]):
    """A change meant to be: run this test with GRADCLINIC_WRITE_OPENAPI=1, look at the difference, commit it."""
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("GRADCLINIC_WRITE_OPENAPI"):
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert text == SNAPSHOT.read_text(encoding="utf-8")


def test_every_operation_has_a_name_a_tag_and_words(document: dict[str, Any]):
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    tags = {tag["name"] for tag in document["tags"]}
    for path, method, operation in operations(document):
        assert operation["operationId"].islower(), path
        assert set(operation["tags"]) <= tags
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        assert all(parameter.get("description") for parameter in operation.get("parameters", ())), (method, path)


def test_every_error_is_documented_as_a_problem(document: dict[str, Any]):
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], (method, path, status)
        if path.startswith("/v1"):
            assert {"401", "422", "500", "503"} <= set(operation["responses"]), (method, path)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_reference_leads_somewhere(document: dict[str, Any]):
    schemas = document["components"]["schemas"]

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [found for child in node.values() for found in references(child)]
        return [found for child in node for found in references(child)] if isinstance(node, list) else []

    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas


def test_posting_takes_a_job_spec_with_an_example(document: dict[str, Any]):
    for path in ("/v1/jobs", "/v1/specs/validate"):
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert content["schema"] == {"$ref": "#/components/schemas/JobSpec"}
        for example in content["examples"].values():
            parse_spec(example["value"])


def test_the_example_is_the_one_that_ships():
    assert json.loads(EXAMPLE.read_text(encoding="utf-8")) == DEEP_SIGMOID
