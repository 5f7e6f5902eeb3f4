"""Reading a spec from a file or from standard input, and finding a JSON pointer's place in its text.

JSON or YAML, by the name of the file; what comes in at standard input is JSON where it begins with a bracket. Nothing is
said about what is in it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from gradclinic.cli.yaml_text import NotYaml, find_span, read_yaml
from gradclinic.contract.naming import keys_of
from gradclinic.contract.parse import load_json
from gradclinic.errors import Fault, InvalidSpec

STANDARD_INPUT = "-"
YAML_ENDINGS = (".yaml", ".yml")

_BLANK = " \t\n\r"
_decoder = json.JSONDecoder()


@dataclass(frozen=True)
class Place:
    """A stretch of a line: `length` characters from `column` (from 1) of line `line` (from 1), which reads `text`."""

    line: int
    column: int
    length: int
    text: str


@dataclass(frozen=True)
class Source:
    """A spec's text, and what to call it."""

    name: str
    text: str
    is_yaml: bool = False

    def load(self) -> Any:
        """Read the text into plain objects.

        Raises:
            InvalidSpec: It is not JSON, or not YAML.
        """
        if not self.is_yaml:
            return load_json(self.text)
        try:
            return read_yaml(self.text).value
        except NotYaml as error:
            expected = "a job spec in YAML, or the same in JSON"
            raise InvalidSpec([Fault("", f"This is not YAML that can be read: {error}.", expected)]) from None

    def place_of(self, pointer: str) -> Place | None:
        """Find where the value at a JSON pointer stands, or the nearest value around it; None where it leads nowhere.

        In a text that cannot be read it is the place where reading ended.
        """
        span = (_span_in_yaml if self.is_yaml else _span_in_json)(self.text, keys_of(pointer))
        return None if span is None else _place(self.text, *span)


def read_source(path: str) -> Source:
    """Read a file, or standard input for `-`."""
    if path == STANDARD_INPUT:
        text = _decode(sys.stdin.buffer.read(), "standard input")
        return Source("standard input", text, is_yaml=not text.lstrip(_BLANK).startswith(("{", "[")))
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror or error}.") from error
    return Source(path, _decode(raw, path), is_yaml=path.lower().endswith(YAML_ENDINGS))


def _decode(raw: bytes, name: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{name} is not UTF-8 text: byte {error.start} is {raw[error.start]:#x}.") from error


def _span_in_yaml(text: str, keys: list[str]) -> tuple[int, int] | None:
    try:
        return find_span(read_yaml(text), keys)
    except NotYaml as error:
        return error.at, error.at + 1


def _span_in_json(text: str, keys: list[str]) -> tuple[int, int] | None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos, error.pos + 1
    except (ValueError, RecursionError):
        return None
    return _find(text, keys)


def _find(text: str, keys: list[str]) -> tuple[int, int] | None:
    """Return start and end of the innermost value that `keys` lead to, its key included; None if even the first does
    not exist.
    """
    inner = _after_blank(text, 0)
    span = None
    for key in keys:
        member = next((member for member in _members(text, inner) if member[0] == key), None)
        if member is None:
            break
        _, start, inner, end = member
        span = start, end
    return span


def _members(text: str, start: int) -> Iterator[tuple[str, int, int, int]]:
    """Yield key, start of the member, start and end of its value, of the object or list that starts there."""
    closing = {"{": "}", "[": "]"}.get(text[start])
    here = _after_blank(text, start + 1)
    index = 0
    while closing is not None and text[here] != closing:
        key, value = str(index), here
        if closing == "}":
            key, here_after_key = _decoder.raw_decode(text, here)
            value = _after_blank(text, _after_blank(text, here_after_key) + 1)
        end = _decoder.raw_decode(text, value)[1]
        yield key, here, value, end
        index += 1
        here = _after_blank(text, end)
        if text[here] == ",":
            here = _after_blank(text, here + 1)


def _after_blank(text: str, here: int) -> int:
    while here < len(text) and text[here] in _BLANK:
        here += 1
    return here


def _place(text: str, start: int, end: int) -> Place:
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", start)
    line = text[line_start : len(text) if line_end < 0 else line_end].rstrip("\r")
    length = max(1, min(end, line_start + len(line)) - start)
    return Place(text.count("\n", 0, start) + 1, start - line_start + 1, length, line)
