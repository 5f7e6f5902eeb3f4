"""Specs in YAML: the same values as in JSON, the same places, and none of YAML's surprises."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gradclinic.cli import make_app
from gradclinic.cli.source import Source, read_source
from gradclinic.cli.yaml_text import NotYaml, read_yaml
from gradclinic.contract.naming import pointer
from gradclinic.contract.parse import parse_spec
from gradclinic.errors import InvalidSpec

ROOT = Path(__file__).resolve().parents[3]
SPECS = {path.name: json.loads(path.read_text()) for path in sorted(ROOT.glob("examples/*.json"))} | {
    path.name: json.loads(path.read_text())["spec"] for path in sorted(ROOT.glob("cases/*.json"))
}

TEXT = """\
# A spec for people.
model:
  layers:
    - type: Linear
      out_features: 64
    - {type: ReLU}   # in one line
"a/b": [1, 2]
'quoted': "x: y"
"""


def read(text: str) -> Any:
    return read_yaml(text).value


@pytest.mark.parametrize("name", SPECS)
def test_the_same_spec_in_yaml_and_in_json_is_the_same_job(name: str):
    document = SPECS[name]
    for flow in (False, None, True):
        written = yaml.safe_dump(document, sort_keys=False, default_flow_style=flow)
        found = read(written)
        assert json.dumps(found) == json.dumps(document)
        assert parse_spec(found) == parse_spec(document)


KEYS = st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_json_is_yaml_and_means_the_same(document: Any):
    assert json.dumps(read(json.dumps(document))) == json.dumps(document)
    assert json.dumps(read(json.dumps(document, indent=1))) == json.dumps(document)


@given(VALUES)
def test_every_value_of_any_document_is_found(document: Any):
    text = json.dumps(document)
    in_yaml, in_json = Source("x", text, is_yaml=True), Source("x", text)
    for keys in _keys(document, ()):
        assert in_yaml.place_of(pointer(*keys)) == in_json.place_of(pointer(*keys))


def _keys(value: Any, keys: tuple[str | int, ...]) -> list[tuple[str | int, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [keys, *(found for key, child in children for found in _keys(child, (*keys, key)))]


@given(st.text(max_size=30))
def test_no_text_ends_in_another_error(text: str):
    source = Source("x", text, is_yaml=True)
    try:
        source.load()
    except InvalidSpec:
        assert source.place_of("") is not None


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1e-3", 1e-3),
        ("1E3", 1000.0),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("-1.", -1.0),
        ("0", 0),
        ("-7", -7),
        ("+7", 7),
        ("0x1F", 31),
        ("0o17", 15),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("2026-11-21", "2026-11-21"),
        ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00Z"),
        ("=", "="),
        ('"1"', "1"),
        ("'true'", "true"),
        ("!!str 1", "1"),
        ("! 1", "1"),
        ("|\n  two\n  lines", "two\nlines\n"),
        ("1e", "1e"),
        ("e3", "e3"),
        (".", "."),
    ],
)
def test_plain_words_mean_what_they_mean_in_yaml_1_2(word: str, value: Any):
    found = read(f"a: {word}\n")["a"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "said", "line", "column"),
    [
        ("a: 1\nb: 2\na: 3\n", "the key 'a' stands twice", 3, 1),
        ("a:\n  1: x\n", "the key 1 is no text", 2, 3),
        ("true: x\n", "the key true is no text", 1, 1),
        ("~: x\n", "the key ~ is no text", 1, 1),
        ("2026-11-21: 1\n? [a]\n: 1\n", "a key has to be a text", 2, 3),
        ("a: &a {x: 1}\n*a : 2\n", "a key has to be a text", 2, 1),
        ("a: &a {x: 1}\nb:\n  <<: *a\n", "merge keys", 3, 3),
        ("a: !!python/object/apply:os.system [ls]\n", "the tag", 1, 4),
        ("a: !!python/name:os.system\n", "the tag", 1, 4),
        ("a: !!timestamp 2026-11-21\n", "the tag", 1, 4),
        ("a: !!str [1]\n", "does not belong", 1, 4),
        ("a: .nan\n", "not a number in JSON", 1, 4),
        ("a: -.inf\n", "not a number in JSON", 1, 4),
        ("a: 1e999\n", "too large", 1, 4),
        (f"a: {'9' * 5000}\n", "too long", 1, 4),
        ("a: 010\n", "may be decimal or octal", 1, 4),
        ("a: *b\n", "no anchor 'b'", 1, 4),
        ("a: &a [*a]\n", "holds itself", 1, 8),
        ("a: 1\n---\nb: 2\n", "second document", 2, 1),
        ("", "nothing in it", 1, 1),
        ("# nothing\n", "nothing in it", 1, 1),
        ("a: [1, 2\nb: 3\n", "expected ',' or ']'", 2, 2),
        ("a:\n\t- 1\n", "cannot start any token", 2, 1),
        ("a: \x07\n", "not allowed", 1, 4),
        ("a: " + "[" * 100 + "]" * 100, "nested deeper than 64", 1, 67),
    ],
)
def test_what_json_cannot_say_is_refused_at_its_place(text: str, said: str, line: int, column: int):
    source = Source("x", text, is_yaml=True)
    with pytest.raises(InvalidSpec) as refused:
        source.load()
    assert said in refused.value.faults[0].detail
    place = source.place_of("")
    assert place is not None
    assert (place.line, place.column) == (line, column)


def test_an_anchor_stands_for_its_value():
    found = read("a: &layer {type: ReLU}\nb: [*layer, *layer]\nc: &n 1\nd: *n\n")
    assert found == {"a": {"type": "ReLU"}, "b": [{"type": "ReLU"}] * 2, "c": 1, "d": 1}


def test_anchors_of_anchors_cannot_unfold_without_end():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    began = time.monotonic()
    with pytest.raises(NotYaml, match="unfolds to more than 1,000,000 values"):
        read_yaml("\n".join(lines))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("where", "line", "shown"),
    [
        ("/model/layers/0/out_features", 5, "out_features: 64"),
        ("/model/layers/0", 4, "type: Linear"),
        ("/model/layers/1", 6, "{type: ReLU}"),
        ("/model/layers/1/missing", 6, "{type: ReLU}"),
        ("/a~1b/1", 7, "2"),
        ("/quoted", 8, "'quoted': \"x: y\""),
        ("/model", 2, "model:"),
    ],
)
def test_a_pointer_leads_to_its_stretch_of_a_line(where: str, line: int, shown: str):
    place = Source("x", TEXT, is_yaml=True).place_of(where)
    assert place is not None
    assert (place.line, place.text[place.column - 1 :][: place.length]) == (line, shown)


@pytest.mark.parametrize("ending", ["yaml", "yml", "YAML"])
def test_the_ending_of_a_file_says_what_it_is(tmp_path: Path, ending: str):
    path = tmp_path / f"spec.{ending}"
    path.write_text(TEXT)
    assert read_source(str(path)).load()["model"]["layers"][1] == {"type": "ReLU"}
    (tmp_path / "spec.json").write_text(TEXT)
    with pytest.raises(InvalidSpec, match="not JSON"):
        read_source(str(tmp_path / "spec.json")).load()


def test_faults_in_a_spec_in_yaml_are_shown_in_its_text(tmp_path: Path):
    path = tmp_path / "spec.yaml"
    path.write_text(
        yaml.safe_dump(SPECS["healthy-digits.json"]).replace("type: CrossEntropyLoss", "type: CrossEntropy")
    )
    result = CliRunner().invoke(make_app(), ["run", str(path)], env={"COLUMNS": "100"})
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    marked = next(number for number, line in enumerate(lines) if "| " in line and "CrossEntropy" in line)
    assert lines[marked + 1].count("^") == len("type: CrossEntropy")
    assert "Did you mean 'CrossEntropyLoss'" in result.stderr


@pytest.mark.parametrize(
    "text", [yaml.safe_dump(SPECS["healthy-digits.json"]), json.dumps(SPECS["healthy-digits.json"])]
)
def test_standard_input_may_be_either(text: str):
    result = CliRunner().invoke(make_app(), ["validate", "--local", "-"], input=text)
    assert result.exit_code == 0, result.output


BY_HAND = """\
# Three classes, one hidden layer.
name: by hand
model:
  layers:
    - {type: Linear, out_features: 8}
    - type: Tanh
    - {type: Linear, out_features: 3}
data: {type: iris}
loss: {type: CrossEntropyLoss}
optimizer:
  type: Adam
  lr: 1e-3   # text to YAML 1.1, a number here
training: {steps: 30, batch_size: 16, seed: 0x07}
"""


@pytest.mark.slow
def test_a_spec_written_by_hand_trains_to_the_outcome_of_the_same_in_json(tmp_path: Path):
    (tmp_path / "spec.yaml").write_text(BY_HAND)
    spec = {
        "name": "by hand",
        "model": {
            "layers": [
                {"type": "Linear", "out_features": 8},
                {"type": "Tanh"},
                {"type": "Linear", "out_features": 3},
            ]
        },
        "data": {"type": "iris"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "Adam", "lr": 0.001},
        "training": {"steps": 30, "batch_size": 16, "seed": 7},
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    outcomes = []
    for name in ("spec.yaml", "spec.json"):
        result = CliRunner().invoke(make_app(), ["run", str(tmp_path / name), "--fail-on", "never", "--json"])
        assert result.exit_code == 0, result.output
        outcomes.append(json.loads(result.stdout)["diagnosis"]["outcome"])
    assert outcomes[0] == outcomes[1]
    assert outcomes[0]["steps"] == 30
