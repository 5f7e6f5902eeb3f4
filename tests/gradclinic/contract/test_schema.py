"""The JSON Schema of a spec: complete, described throughout, and of one mind with what is really accepted."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from gradclinic.contract.base import SpecModel
from gradclinic.contract.parse import parse_spec
from gradclinic.contract.schema import spec_schema
from gradclinic.contract.spec import JobSpec
from gradclinic.contract.sweep import SweepSpec
from gradclinic.errors import InvalidSpec

ROOT = Path(__file__).resolve().parents[3]
SPECS = {path.name: json.loads(path.read_text()) for path in sorted(ROOT.glob("examples/*.json"))} | {
    path.name: json.loads(path.read_text())["spec"] for path in sorted(ROOT.glob("cases/*.json"))
}
SCHEMA = spec_schema()
VALIDATOR = Draft202012Validator(SCHEMA)

SMALL: dict[str, Any] = {
    "model": {"layers": [{"type": "Linear", "out_features": 3}]},
    "data": {"type": "iris"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
}


def models_in(annotation: Any, seen: set[type[SpecModel]]) -> Iterator[type[SpecModel]]:
    """Every model that a spec may hold."""
    if isinstance(annotation, type) and issubclass(annotation, SpecModel):
        if annotation not in seen:
            seen.add(annotation)
            yield annotation
            for field in annotation.model_fields.values():
                yield from models_in(field.annotation, seen)
                for extra in field.metadata:
                    yield from models_in(extra, seen)
        return
    for inner in get_args(annotation):
        yield from models_in(inner, seen)


def is_accepted(document: Any) -> bool:
    try:
        parse_spec(document)
    except InvalidSpec:
        return False
    return True


def test_it_is_a_schema_with_a_name():
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["$id"] == "urn:gradclinic:job-spec"
    assert SCHEMA["title"]
    assert SCHEMA["description"]


def test_every_field_of_every_model_of_a_spec_is_described():
    models = list(models_in(JobSpec, set()))
    assert {"Linear", "Conv2d", "Residual", "OneCycleLR", "Inline", "EarlyStopping"} <= {m.__name__ for m in models}
    for model in models:
        assert model.__doc__, model
        for name, field in model.model_fields.items():
            # A type is described by its model: what it is called says nothing more.
            assert field.description or name == "type", (model, name)


def test_every_definition_and_property_is_described():
    for name, definition in SCHEMA["$defs"].items():
        assert definition["description"], name
        for key, schema in definition.get("properties", {}).items():
            assert "description" in schema or "$ref" in schema, (name, key)
        if "const" in definition.get("properties", {}).get("type", {}):
            assert next(iter(definition["properties"])) == "type"
            assert "type" in definition["required"]


def test_every_reference_leads_somewhere_and_nothing_stands_there_in_vain():
    text = json.dumps(SCHEMA)
    for name in SCHEMA["$defs"]:
        assert f'"#/$defs/{name}"' in text, name
    assert "discriminator" not in text
    assert text.count('"#/$defs/ReLU"') == 1


@pytest.mark.parametrize("name", SPECS)
def test_every_example_and_case_is_valid(name: str):
    assert list(VALIDATOR.iter_errors(SPECS[name])) == []


BREAKS: dict[str, Any] = {
    "/model/layers": [],
    "/model/layers/0/type": "Lineal",
    "/model/nonsense": 1,
    "/data/type": "digit",
    "/data/validation_split": 1,
    "/loss": None,
    "/optimizer/type": None,
    "/training/steps": -1,
    "/training/epochs": 0,
    "/training/batch_size": 0,
    "/training/device": "tpu",
    "/labels/a b": "x",
    "/verification/fixes": "some",
    "/name": 5,
    "/recording/signals": {"loss": 1},
    "/nonsense": 1,
}


@pytest.mark.parametrize("place", BREAKS)
@pytest.mark.parametrize("name", ["healthy-digits.json", "deep-sigmoid-digits.json", "ok-cnn-bn.json"])
def test_broken_ones_are_not(name: str, place: str):
    document = copy.deepcopy(SPECS[name])
    here = document
    *parents, last = place.split("/")[1:]
    for key in parents:
        here = here[int(key)] if isinstance(here, list) else here.setdefault(key, {})
    here[last] = BREAKS[place]
    assert not VALIDATOR.is_valid(document)
    assert not is_accepted(document)


@pytest.mark.parametrize("key", ["model", "data", "loss", "optimizer"])
def test_what_is_required_is_missed(key: str):
    assert not VALIDATOR.is_valid({name: value for name, value in SMALL.items() if name != key})


VALUES = (
    *(0, 1, 3, -1, 2.5, 1_000_001, "3", "same", "valid", "identity", "minmax", "all", True, False, None, {}),
    *([], [1], [3, 3], [0, 1], [1, 2, 3], [1, 2, 3, 4], [1.5, 2], ["same"], [[1]], [{"type": "ReLU"}]),
)

PLACES: dict[str, dict[str, Any]] = {
    "Conv1d kernel_size": {"type": "Conv1d", "out_channels": 3, "kernel_size": 1},
    "Conv2d kernel_size": {"type": "Conv2d", "out_channels": 3, "kernel_size": 1},
    "Conv3d kernel_size": {"type": "Conv3d", "out_channels": 3, "kernel_size": 1},
    "Conv2d padding": {"type": "Conv2d", "out_channels": 3, "kernel_size": 1},
    "MaxPool2d stride": {"type": "MaxPool2d", "kernel_size": 2},
    "MaxPool2d padding": {"type": "MaxPool2d", "kernel_size": 3},
    "AdaptiveAvgPool2d output_size": {"type": "AdaptiveAvgPool2d"},
    "LayerNorm normalized_shape": {"type": "LayerNorm"},
    "ZeroPad2d padding": {"type": "ZeroPad2d"},
    "Unflatten unflattened_size": {"type": "Unflatten", "dim": 1},
    "Dropout p": {"type": "Dropout"},
    "Linear bias": {"type": "Linear", "out_features": 3},
    "Linear in_features": {"type": "Linear", "out_features": 3},
    "Residual shortcut": {"type": "Residual", "layers": [{"type": "ReLU"}]},
    "Repeat times": {"type": "Repeat", "layers": [{"type": "ReLU"}]},
    "Parallel branches": {"type": "Parallel", "merge": "sum"},
}


@pytest.mark.parametrize("place", PLACES)
def test_it_takes_the_values_that_are_taken(place: str):
    """Sizes that may be one number or several are where a schema goes wrong first."""
    for value in VALUES:
        layer = PLACES[place] | {place.split()[1]: value}
        document = SMALL | {"model": {"layers": [layer]}}
        assert VALIDATOR.is_valid(document) == is_accepted(document), value


@pytest.mark.parametrize(
    ("part", "key"),
    [
        ({"optimizer": {"type": "Adam"}}, "betas"),
        ({"data": {"type": "iris"}}, "normalize"),
        ({"data": {"type": "random_images"}}, "shape"),
        ({"data": {"type": "linear_regression", "features": 3}}, "coefficients"),
        ({"scheduler": {"type": "MultiStepLR"}}, "milestones"),
        ({"verification": {}}, "fixes"),
        ({"training": {}}, "metrics"),
        ({"training": {}}, "early_stopping"),
    ],
)
def test_it_takes_the_values_that_are_taken_outside_of_models(part: dict[str, Any], key: str):
    ((name, fields),) = part.items()
    for value in VALUES:
        document = SMALL | {name: fields | {key: value}}
        # A schema cannot count what another field says, nor sort: what is accepted has to be valid, not the reverse.
        assert VALIDATOR.is_valid(document) or not is_accepted(document), value
        if not isinstance(value, list):
            assert VALIDATOR.is_valid(document) == is_accepted(document), value


def test_a_sweep_has_a_schema_of_its_own():
    schema = spec_schema(sweep=True)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert schema["$id"] == "urn:gradclinic:sweep-spec"
    for sweep, is_valid in (
        ({"/optimizer/lr": [0.1, 0.2]}, True),
        ({"/optimizer/lr": []}, False),
        ({"/optimizer/lr": 0.1}, False),
        ({}, False),
    ):
        assert validator.is_valid(SMALL | {"sweep": sweep}) is is_valid
    assert not validator.is_valid(SMALL)
    assert all(field.description for field in SweepSpec.model_fields.values())
