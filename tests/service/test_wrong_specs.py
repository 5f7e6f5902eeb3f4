"""Wrong specs: each a 4xx that names the place, none a 5xx, and none reaches the queue."""

from __future__ import annotations

import copy
import json
from typing import Any, NamedTuple

import pytest

from tests.service.hands import SPEC, Service

LINEAR = {"type": "Linear", "out_features": 8}


class Wrong(NamedTuple):
    """A document, or text that is none, and where it is wrong."""

    body: Any
    places: list[str]
    says: str = ""


def spec(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(SPEC) | changes


def layers(*posted: Any, **model: Any) -> dict[str, Any]:
    return spec(model={"layers": list(posted), **model})


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in SPEC.items() if name != key}


def nested(levels: int) -> dict[str, Any]:
    layer: dict[str, Any] = LINEAR
    for _ in range(levels):
        layer = {"type": "Sequential", "layers": [layer]}
    return layers(layer)


def text_with(number: str) -> str:
    return json.dumps(spec(optimizer={"type": "SGD", "lr": "@"})).replace('"@"', number)


WRONG: dict[str, Wrong] = {
    # what is not JSON, or not an object
    "nothing": Wrong("", [""], "not JSON"),
    "cut": Wrong(json.dumps(SPEC)[:-10], [""], "not JSON"),
    "two documents": Wrong("{} {}", [""], "not JSON"),
    "a comment": Wrong("{} // a spec", [""], "not JSON"),
    "a single quote": Wrong("{'name': 'x'}", [""], "not JSON"),
    "not UTF-8": Wrong(b'{"name": "\xff"}', [""], "not JSON"),
    "NaN": Wrong(text_with("NaN"), [""], "NaN is not a number in JSON"),
    "infinity": Wrong(text_with("-Infinity"), [""], "Infinity is not a number in JSON"),
    "a number too large for a float": Wrong(text_with("1e999"), ["/optimizer/lr"], "finite"),
    "a key twice": Wrong('{"name": "a", "name": "b"}', [""], "stands twice"),
    "an integer of many digits": Wrong('{"name": ' + "9" * 5000 + "}", [""], "not JSON"),
    "a list": Wrong([SPEC], [""]),
    "null": Wrong(None, [""]),
    "a text": Wrong('"spec"', [""]),
    "a hundred thousand brackets": Wrong("[" * 100_000, [""], "deep"),
    # keys
    "an empty object": Wrong({}, ["/model", "/data", "/loss", "/optimizer"], "4 places"),
    "no model": Wrong(without("model"), ["/model"], "missing"),
    "no loss": Wrong(without("loss"), ["/loss"], "missing"),
    "an unknown key": Wrong(spec(modle={}), ["/modle"], "not a key"),
    "an unknown key in training": Wrong(spec(training={"stesp": 3}), ["/training/stesp"], "not a key"),
    "an escaped key": Wrong(spec(**{"a/b~c": 1}), ["/a~1b~0c"], "not a key"),
    # model
    "an unknown layer": Wrong(layers({"type": "Liner", "out_features": 3}), ["/model/layers/0/type"], "'Linear'"),
    "a layer without a type": Wrong(layers({"out_features": 3}), ["/model/layers/0/type"], "missing"),
    "a wrong keyword": Wrong(layers({"type": "Linear", "units": 3}), ["/model/layers/0/out_features", "/model/layers/0/units"]),
    "a layer that is a text": Wrong(layers("Linear"), ["/model/layers/0"]),
    "no layers": Wrong(layers(), ["/model/layers"]),
    "layers that are an object": Wrong(spec(model={"layers": {"0": LINEAR}}), ["/model/layers"]),
    "an empty repeat": Wrong(layers({"type": "Repeat", "times": 2, "layers": []}), ["/model/layers/0/layers"]),
    "no turns": Wrong(layers({"type": "Repeat", "times": 0, "layers": [LINEAR]}), ["/model/layers/0/times"]),
    "shapes that do not meet": Wrong(
        layers(LINEAR, {"type": "Linear", "in_features": 9, "out_features": 3}), ["/model/layers/1/in_features"], "8"
    ),
    "a residual that changes the shape": Wrong(
        layers(LINEAR, {"type": "Residual", "layers": [{"type": "Linear", "out_features": 5}]}), ["/model/layers/1"]
    ),
    "too few outputs for the classes": Wrong(layers({"type": "Linear", "out_features": 2}), ["/model/layers/0/out_features"]),
    "zero features": Wrong(layers({"type": "Linear", "out_features": 0}), ["/model/layers/0/out_features"]),
    "a float as a size": Wrong(layers({"type": "Linear", "out_features": 3.5}), ["/model/layers/0/out_features"]),
    "a text as a size": Wrong(layers({"type": "Linear", "out_features": "3"}), ["/model/layers/0/out_features"]),
    "a huge size": Wrong(layers({"type": "Linear", "out_features": 10**30}), ["/model/layers/0/out_features"]),
    "a name twice": Wrong(layers(LINEAR | {"name": "a"}, LINEAR | {"name": "a"}), ["/model/layers/1/name"], "taken"),
    "a name with a dot": Wrong(layers(LINEAR | {"name": "a.b"}), ["/model/layers/0/name"]),
    "ten thousand layers": Wrong(
        layers({"type": "Repeat", "times": 10_000, "layers": [LINEAR]}), ["/model"], "10,001|10,000|20,000"
    ),
    "ten thousand layers in a row": Wrong(layers(*[LINEAR] * 10_000), ["/model/layers"]),
    "repeats in repeats": Wrong(
        layers({"type": "Repeat", "times": 10**6, "layers": [{"type": "Repeat", "times": 10**6, "layers": [LINEAR]}]}),
        ["/model"],
    ),
    "a billion parameters": Wrong(
        layers({"type": "Linear", "out_features": 30_000}, {"type": "Linear", "out_features": 40_000}), ["/model"]
    ),
    "too deep nesting": Wrong(nested(200), [""], "deep"),
    "an unknown init": Wrong(layers(LINEAR, init={"weight": {"type": "he_normal_"}}), ["/model/init/weight/type"]),
    "nothing to train": Wrong(layers({"type": "ReLU"}), ["/model"]),
    # data, loss, optimizer
    "unknown data": Wrong(spec(data={"type": "mnist"}), ["/data/type"]),
    "all rows for validation": Wrong(spec(data={"type": "iris", "validation_split": 1.0}), ["/data/validation_split"]),
    "an unknown loss": Wrong(spec(loss={"type": "CrossEntropy"}), ["/loss/type"], "CrossEntropyLoss"),
    "a loss for other targets": Wrong(spec(loss={"type": "MSELoss"}), ["/model"], "MSELoss would broadcast"),
    "an unknown optimizer": Wrong(spec(optimizer={"type": "Adma"}), ["/optimizer/type"], "Adam"),
    "a negative learning rate": Wrong(spec(optimizer={"type": "SGD", "lr": -0.1}), ["/optimizer/lr"], "-0.1"),
    "a learning rate that is a text": Wrong(spec(optimizer={"type": "SGD", "lr": "0.1"}), ["/optimizer/lr"]),
    "a learning rate that is true": Wrong(spec(optimizer={"type": "SGD", "lr": True}), ["/optimizer/lr"]),
    "betas of one": Wrong(spec(optimizer={"type": "Adam", "betas": [0.9]}), ["/optimizer/betas"]),
    # training and the rest
    "steps and epochs": Wrong(spec(training={"steps": 5, "epochs": 5}), ["/training/epochs"], "Both"),
    "fewer than no steps": Wrong(spec(training={"steps": -1}), ["/training/steps"]),
    "no epochs": Wrong(spec(training={"epochs": 0}), ["/training/epochs"]),
    "too many steps": Wrong(spec(training={"steps": 1_000_000}), ["/training"]),
    "too many epochs": Wrong(spec(training={"epochs": 1_000_000}), ["/training"]),
    "a negative seed": Wrong(spec(training={"seed": -1}), ["/training/seed"]),
    "a metric of the other task": Wrong(spec(training={"metrics": ["r2"]}), ["/training/metrics"]),
    "an unknown device": Wrong(spec(training={"device": "tpu"}), ["/training/device"]),
    "an unknown signal": Wrong(spec(recording={"signals": {"los": 1}}), ["/recording/signals"]),
    "an unknown threshold": Wrong(spec(diagnosis={"thresholds": {"patience": 1.0}}), ["/diagnosis/thresholds/patience"]),
    "NUL in a name": Wrong(spec(name="a\0b"), ["/name"], "NUL"),
    "half a surrogate pair": Wrong(spec(labels={"team": "\ud800"}), ["/labels/team"]),
    "a long name": Wrong(spec(name="x" * 201), ["/name"]),
    "a label that is a number": Wrong(spec(labels={"team": 7}), ["/labels/team"]),
    "a label's key with a space": Wrong(spec(labels={"a team": "x"}), ["/labels"]),
}  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/specs/validate"])
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_spec_is_refused_at_its_place(embedded: Service, wrong: Wrong, path: str):
    body = wrong.body if isinstance(wrong.body, str | bytes) else json.dumps(wrong.body)
    answer = embedded.client.post(path, content=body, headers={"Content-Type": "application/json"})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid_spec"), problem
    assert answer.headers["Content-Type"] == "application/problem+json"
    found = [fault["pointer"] for fault in problem["errors"]]
    for place in wrong.places:
        assert any(pointer == place or pointer.startswith(f"{place}/") for pointer in found), problem
    assert all(fault["detail"] and fault["expected"] for fault in problem["errors"]), problem
    if wrong.says:
        said = " ".join([problem["detail"], *(fault["detail"] for fault in problem["errors"])])
        assert any(words in said for words in wrong.says.split("|")), said
    assert embedded.client.get("/v1/jobs").json()["items"] == []


def test_there_are_at_least_fifty():
    assert len(WRONG) >= 50


def test_all_faults_are_told_at_once(embedded: Service):
    wrong = spec(optimizer={"type": "SGD", "lr": -1}, training={"batch_size": 0}, name=7)
    problem = embedded.client.post("/v1/jobs", json=wrong).json()
    assert {fault["pointer"] for fault in problem["errors"]} == {"/name", "/optimizer/lr", "/training/batch_size"}
    assert problem["detail"].startswith("3 places are wrong. The first: ")


def test_a_right_spec_is_resolved_and_not_queued(embedded: Service):
    answer = embedded.client.post("/v1/specs/validate", json=SPEC)
    resolved = answer.json()
    assert answer.status_code == 200
    assert (resolved["input_shape"], resolved["output_shape"], resolved["classes"]) == ([4], [3], 3)
    assert [layer["name"] for layer in resolved["layers"]][:2] == ["layers.0", "layers.1"]
    assert resolved["parameters"] == 4 * 8 + 8 + 2 * (8 * 8 + 8) + 8 * 3 + 3
    assert embedded.client.get("/v1/jobs").json()["items"] == []
