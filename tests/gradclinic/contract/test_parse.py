"""Reading specs: every fault at its pointer, in words that say what to change."""

import copy
import json
import pathlib

import pytest

from gradclinic.contract.parse import MAX_DEPTH, load_json, parse_spec
from gradclinic.contract.spec import JobSpec
from gradclinic.errors import InvalidSpec

MINIMAL = {
    "model": {"layers": [{"type": "Linear", "out_features": 10}]},
    "data": {"type": "digits"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
}
CASES = pathlib.Path(__file__).parents[3] / "cases"


def faults_of(document):
    with pytest.raises(InvalidSpec) as caught:
        parse_spec(document)
    return {fault.pointer: fault for fault in caught.value.faults}


def changed(path, value):
    """The minimal spec with the value at a pointer replaced or added."""
    document = copy.deepcopy(MINIMAL)
    *parents, last = path.strip("/").split("/")
    here = document
    for key in parents:
        here = here[int(key)] if isinstance(here, list) else here.setdefault(key, {})
    here[int(last) if isinstance(here, list) else last] = value
    return document


def test_only_model_data_loss_and_optimizer_are_required():
    spec = parse_spec(MINIMAL)
    assert spec.training.seed == 0
    assert spec.training.total_steps(1438) == 400
    assert set(faults_of({})) == {"/model", "/data", "/loss", "/optimizer"}


def test_a_training_may_have_no_steps_but_not_no_epochs():
    training = parse_spec(changed("/training", {"steps": 0})).training
    assert training.is_preflight
    assert training.total_steps(1438) == 0
    assert not parse_spec(changed("/training", {"steps": 1})).training.is_preflight
    assert set(faults_of(changed("/training", {"epochs": 0}))) == {"/training/epochs"}


@pytest.mark.parametrize(
    ("path", "value", "pointer"),
    [
        ("/optimizer/lr", -0.1, "/optimizer/lr"),
        ("/optimizer/lr", float("nan"), "/optimizer/lr"),
        ("/optimizer/lr", "0.1", "/optimizer/lr"),
        ("/optimizer/lr", True, "/optimizer/lr"),
        ("/optimizer/type", "Sgd", "/optimizer/type"),
        ("/optimizer/nesterov", True, "/optimizer/nesterov"),
        ("/model/layers", [], "/model/layers"),
        ("/model/layers/0/out_feature", 3, "/model/layers/0/out_feature"),
        ("/model/layers/0/out_features", 0, "/model/layers/0/out_features"),
        ("/model/layers/0/out_features", 2.0, "/model/layers/0/out_features"),
        ("/model/layers/0", {"out_features": 3}, "/model/layers/0/type"),
        ("/model/layers/0", {"type": "Residual", "layers": [], "shortcut": "identity"}, "/model/layers/0/layers"),
        ("/model/layers/0/name", "a.b", "/model/layers/0/name"),
        ("/model/init", {"weight": {"type": "xavier"}}, "/model/init/weight/type"),
        ("/model/init", {"bias": {"type": "xavier_normal_"}}, "/model/init/bias/type"),
        ("/data/validation_split", 1.0, "/data/validation_split"),
        ("/data/seed", -1, "/data/seed"),
        ("/data", {"type": "blobs", "samples": 2, "classes": 3}, "/data/samples"),
        ("/data", {"type": "linear_regression", "features": 2, "coefficients": [1.0]}, "/data/coefficients"),
        ("/data/normalize_target", True, "/data/normalize_target"),
        ("/training", {"steps": 10, "epochs": 1}, "/training/epochs"),
        ("/training", {"batch_size": 0}, "/training/batch_size"),
        ("/training", {"metrics": ["auc"]}, "/training/metrics/0"),
        ("/recording", {"signals": {"grad": 1}}, "/recording/signals/grad"),
        ("/labels", {"a b": "c"}, "/labels/a b"),
        ("/name", "a\u0000b", "/name"),
        ("/name", "\ud800", "/name"),
        ("/verification", {"seeds": 1}, "/verification/seeds"),
    ],
)
def test_a_fault_is_named_at_its_pointer(path, value, pointer):
    faults = faults_of(changed(path, value))
    assert pointer in faults
    assert faults[pointer].detail


def test_all_faults_of_a_document_are_told_at_once():
    document = changed("/optimizer/lr", -1)
    document["model"]["layers"].append({"type": "Linaer"})
    document["surplus"] = 1
    assert set(faults_of(document)) == {"/optimizer/lr", "/model/layers/1/type", "/surplus"}


def test_a_misspelt_type_is_answered_with_the_near_one():
    fault = faults_of(changed("/model/layers/0", {"type": "relu"}))["/model/layers/0/type"]
    assert "Did you mean 'ReLU'?" in fault.detail
    assert "Linear" in (fault.expected or "")


def test_siblings_cannot_share_a_name_and_cousins_can():
    layers = [{"type": "ReLU", "name": "a"}, {"type": "ReLU", "name": "a"}]
    assert "/model/layers" in next(iter(faults_of(changed("/model/layers", layers))))
    nested = [{"type": "ReLU", "name": "a"}, {"type": "Sequential", "layers": [{"type": "ReLU", "name": "a"}]}]
    parse_spec(changed("/model/layers", nested))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nonsense",
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": 1, "a": 2}',
        "[" * 100_000,
        "9" * 5000,
        b"\xff\xfe\x00",
    ],
)
def test_what_is_not_json_is_refused_in_words(text):
    with pytest.raises(InvalidSpec) as caught:
        load_json(text)
    assert caught.value.faults[0].detail


def test_a_document_is_at_most_so_deep():
    layer = {"type": "ReLU"}
    for _ in range(MAX_DEPTH):
        layer = {"type": "Sequential", "layers": [layer]}
    assert "" in faults_of(changed("/model/layers/0", layer))


@pytest.mark.parametrize("document", [None, 1, "spec", [], [MINIMAL]])
def test_a_spec_is_an_object(document):
    assert "" in faults_of(document)


def test_a_parsed_spec_says_the_same_when_it_is_parsed_again():
    spec = parse_spec(changed("/model/layers/0", {"type": "Residual", "layers": [{"type": "Tanh"}]}))
    assert parse_spec(json.loads(spec.model_dump_json())) == spec


@pytest.mark.parametrize("path", sorted(CASES.glob("*.json")), ids=lambda path: path.stem)
def test_a_labelled_case_parses_or_names_only_types_that_are_not_there_yet(path):
    document = json.loads(path.read_text())["spec"]
    try:
        faults = ()
        spec = parse_spec(document)
    except InvalidSpec as error:
        faults = error.faults
    # The contract grows towards these; what is missing has to be told as a missing type or key, nothing else.
    assert all(fault.pointer.endswith("/type") or "scheduler" in fault.pointer for fault in faults), faults
    assert faults or isinstance(spec, JobSpec)


@pytest.mark.parametrize(
    "text", ['{"\\ud800": "\\ud800"}', '{"x\\ud800": {"y": "\\u0000"}}', '{"a": {"\\u0000": 1}}', '{"a": ["\\udfff"]}']
)
def test_texts_that_nothing_can_hold_are_told_at_a_place_that_can_be_written(text):
    with pytest.raises(InvalidSpec) as caught:
        parse_spec(load_json(text))
    for fault in caught.value.faults:
        fault.pointer.encode()


def test_a_document_nested_too_deep_is_refused_when_it_is_read():
    for depth in (MAX_DEPTH + 1, 900, 990, 995, 2000):
        with pytest.raises(InvalidSpec, match="too deep"):
            load_json("[" * depth + "]" * depth)


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("/model/layers/0/out_feature", "out_features"),
        ("/optimiser", "optimizer"),
        ("/optimizer/nestrov", "nesterov"),
        ("/data/flaten", "flatten"),
        ("/training/batchsize", "batch_size"),
    ],
)
def test_a_misspelt_key_is_answered_with_the_near_one(path, near):
    fault = faults_of(changed(path, 1))[path]
    assert f"Did you mean '{near}'?" in fault.detail
    assert near in fault.expected


@pytest.mark.parametrize("value", ["ReLU", 3, None, [1]])
def test_what_is_no_object_is_told_without_pydantics_words(value):
    faults = faults_of(changed("/model/layers/0", value))
    assert not any(word in fault.detail for fault in faults.values() for word in ("dictionary", "instance", "tuple"))


@pytest.mark.parametrize(
    ("verification", "steps", "expected"),
    [
        ({}, 10, 14),
        ({"fixes": 1, "seeds": 2}, 10, 8),
        ({"fixes": 0}, 10, 0),
        ({"fixes": "all"}, 10, None),
        ({}, 0, 0),
    ],
)
def test_what_a_proof_comes_to_is_known_before_anything_is_trained(verification, steps, expected):
    spec = parse_spec(MINIMAL | {"verification": verification, "training": {"steps": steps}})
    assert spec.trials_at_most == expected
