"""Reading specs, and finding a pointer's place in their text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from gradclinic.cli.source import Source, read_source
from gradclinic.contract.naming import pointer
from gradclinic.errors import InvalidSpec

TEXT = """{
  "model": {"layers": [{"type": "Linear", "out_features": 64},
                       {"type": "ReLU"}]},
  "a/b": [1, 2]
}"""


@pytest.mark.parametrize(
    ("where", "line", "shown"),
    [
        ("/model/layers/0/out_features", 2, '"out_features": 64'),
        ("/model/layers/1", 3, '{"type": "ReLU"}'),
        ("/model/layers/1/missing", 3, '{"type": "ReLU"}'),
        ("/a~1b/1", 4, "2"),
    ],
)
def test_a_pointer_leads_to_its_stretch_of_a_line(where: str, line: int, shown: str):
    place = Source("x", TEXT).place_of(where)
    assert place is not None
    assert place.line == line
    assert place.text[place.column - 1 : place.column - 1 + place.length] == shown


def test_what_spans_lines_is_marked_on_its_first():
    place = Source("x", TEXT).place_of("/model")
    assert place is not None
    assert place.text[place.column - 1 :][: place.length].startswith('"model": {"layers"')
    assert place.length == len(place.text) - 2


@pytest.mark.parametrize("where", ["", "/header/Idempotency-Key", "/nothing"])
def test_a_pointer_that_leads_nowhere_has_no_place(where: str):
    assert Source("x", TEXT).place_of(where) is None


def test_text_that_cannot_be_read_has_the_place_where_reading_ended():
    place = Source("x", '{\n  "a": }').place_of("")
    assert place is not None
    assert (place.line, place.column) == (2, 8)
    with pytest.raises(InvalidSpec, match="not JSON"):
        Source("x", '{\n  "a": }').load()


def test_a_file_may_start_with_a_byte_order_mark(tmp_path: Path):
    (tmp_path / "spec.json").write_bytes(b"\xef\xbb\xbf{}")
    assert read_source(str(tmp_path / "spec.json")).load() == {}


def test_a_file_that_is_no_text_is_a_wrong_call(tmp_path: Path):
    (tmp_path / "spec.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(typer.BadParameter, match="not UTF-8"):
        read_source(str(tmp_path / "spec.json"))


KEYS = st.text(max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, st.sampled_from([None, 1, "\t"]))
def test_every_value_of_any_document_is_found(document: Any, indent: int | str | None):
    source = Source("x", json.dumps(document, indent=indent))
    for keys, value in _walk(document, ()):
        place = source.place_of(pointer(*keys))
        if not keys:
            assert place is None
            continue
        assert place is not None
        start = place.text[place.column - 1 :]
        shown = json.dumps(value, indent=indent).splitlines()[0]
        member = f"{json.dumps(keys[-1])}: {shown}" if isinstance(keys[-1], str) else shown
        assert start.startswith(member)


def _walk(value: Any, keys: tuple[str | int, ...]) -> list[tuple[tuple[str | int, ...], Any]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(keys, value), *(found for key, child in children for found in _walk(child, (*keys, key)))]
