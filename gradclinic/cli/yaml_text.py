"""Reading YAML as JSON with other punctuation: the same values come out of both, and nothing is ever executed.

Plain words are read as YAML 1.2 reads them, so that `1e-3` is a number and `no` is a word. What JSON cannot say is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml import events

from gradclinic.contract.parse import MAX_DEPTH

MAX_VALUES = 1_000_000
"""Values that a document may hold once its anchors are unfolded: a few lines of anchors of anchors can stand for billions."""

_TAG = "tag:yaml.org,2002:"
_KINDS = {None: "", f"{_TAG}str": "str", "!": "str", f"{_TAG}map": "map", f"{_TAG}seq": "seq"}
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_ENDLESS = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class NotYaml(ValueError):
    """The text cannot be read; `at` is where, in characters."""

    def __init__(self, message: str, at: int) -> None:
        self.at = at
        super().__init__(message)


@dataclass
class Node:
    """A value with the stretch of text that it stands in, and the nodes in it with where their keys begin."""

    value: Any
    start: int
    end: int
    size: int = 1
    members: dict[str, tuple[int, Node]] = field(default_factory=dict)


def read_yaml(text: str) -> Node:
    """Read one YAML document.

    Raises:
        NotYaml: It is none, or says something that JSON cannot.
    """
    try:
        return _Reader(text).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.context, error.problem) if part)
        raise NotYaml(said, mark.index if mark else 0) from None
    except yaml.reader.ReaderError as error:
        raise NotYaml(f"the character {error.character!r} is not allowed", error.position) from None


def find_span(root: Node, keys: list[str]) -> tuple[int, int] | None:
    """Return start and end of the innermost value that `keys` lead to, its key included; None if even the first does
    not exist.
    """
    span, here = None, root
    for key in keys:
        if key not in here.members:
            break
        start, here = here.members[key]
        span = start, here.end
    return span


class _Reader:
    """Builds nodes from the events of PyYAML's parser, which knows the grammar and no types."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[Any] = yaml.parse(text, Loader=yaml.SafeLoader)
        self._anchors: dict[str, Node | None] = {}
        self._values = 0

    def document(self) -> Node:
        """Read the one document."""
        for event in self._events:
            if isinstance(event, events.StreamStartEvent | events.DocumentStartEvent):
                continue
            if isinstance(event, events.StreamEndEvent):
                raise NotYaml("there is nothing in it", 0)
            root = self._node(event, 0)
            break
        next(self._events)  # the end of the document
        if not isinstance(another := next(self._events), events.StreamEndEvent):
            raise _refusal("there is a second document after the first", another)
        return root

    def _node(self, event: Any, depth: int) -> Node:
        if depth >= MAX_DEPTH:
            raise _refusal(f"it is nested deeper than {MAX_DEPTH} levels", event)
        if isinstance(event, events.AliasEvent):
            return self._alias(event)
        if event.tag not in _KINDS:
            raise _refusal(f"the tag {event.tag!r} is not read here", event)
        if event.anchor:
            self._anchors[event.anchor] = None  # not known yet: it may not hold itself
        node = self._value(event, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _value(self, event: Any, depth: int) -> Node:
        kind = _KINDS[event.tag]
        match event:
            case events.MappingStartEvent() if kind in {"", "map"}:
                return self._mapping(event, depth)
            case events.SequenceStartEvent() if kind in {"", "seq"}:
                return self._sequence(event, depth)
            case events.ScalarEvent() if kind in {"", "str"}:
                node = self._begin(event, event.value)
                if kind == "" and event.implicit[0]:
                    node.value = _resolve(event)
                return node
            case _:
                raise _refusal(f"the tag {event.tag!r} does not belong to this value", event)

    def _mapping(self, event: Any, depth: int) -> Node:
        node = self._begin(event, {})
        while not isinstance(key := next(self._events), events.MappingEndEvent):
            name = _key_of(key)
            if name in node.members:
                raise _refusal(f"the key {name!r} stands twice in one object", key)
            child = self._node(next(self._events), depth + 1)
            node.value[name] = child.value
            self._include(node, name, key.start_mark.index, child)
        return self._end(node, key)

    def _sequence(self, event: Any, depth: int) -> Node:
        node = self._begin(event, [])
        while not isinstance(item := next(self._events), events.SequenceEndEvent):
            child = self._node(item, depth + 1)
            node.value.append(child.value)
            self._include(node, str(len(node.value) - 1), item.start_mark.index, child)
        return self._end(node, item)

    def _begin(self, event: Any, value: Any) -> Node:
        self._count(1, event)
        return Node(value, event.start_mark.index, event.end_mark.index)

    @staticmethod
    def _include(node: Node, key: str, start: int, child: Node) -> None:
        node.members[key] = start, child
        node.size += child.size
        node.end = child.end

    @staticmethod
    def _end(node: Node, event: Any) -> Node:
        # Where a block ends, PyYAML's mark is at the next thing to come; a flow ends with a bracket of its own.
        if event.end_mark.index > event.start_mark.index:
            node.end = event.end_mark.index
        return node

    def _alias(self, event: Any) -> Node:
        if event.anchor not in self._anchors:
            raise _refusal(f"there is no anchor {event.anchor!r} before it", event)
        known = self._anchors[event.anchor]
        if known is None:
            raise _refusal(f"{event.anchor!r} holds itself", event)
        self._count(known.size, event)
        # What is wrong inside is shown here: the same value may be right where the anchor stands.
        return Node(known.value, event.start_mark.index, event.end_mark.index, known.size)

    def _count(self, values: int, event: Any) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise _refusal(f"it unfolds to more than {MAX_VALUES:,} values", event)


def _key_of(event: Any) -> str:
    if not isinstance(event, events.ScalarEvent) or event.tag not in {None, "!", f"{_TAG}str"}:
        raise _refusal("a key has to be a text", event)
    if event.tag is not None or not event.implicit[0]:
        return str(event.value)
    if event.value == "<<":
        raise _refusal("merge keys (<<) are not read here: write the values out", event)
    value = _resolve(event)
    if not isinstance(value, str):
        raise _refusal(f"the key {event.value or 'null'} is no text: put it in quotes", event)
    return value


def _resolve(event: Any) -> Any:
    """Return what a plain word means in YAML 1.2's core schema."""
    word: str = event.value
    if word in _WORDS:
        return _WORDS[word]
    try:
        if _INTEGER.fullmatch(word):
            return int(word)
        if _BASED.fullmatch(word):
            return int(word, 0)
    except ValueError:  # thousands of digits
        raise _refusal("the number is too long", event) from None
    if re.fullmatch(r"[-+]?0[0-9]+", word):
        raise _refusal(f"{word} may be decimal or octal: write it without the leading zero, or in quotes", event)
    if _ENDLESS.fullmatch(word):
        raise _refusal(f"{word} is not a number in JSON", event)
    if _FLOAT.fullmatch(word):
        if not math.isfinite(value := float(word)):
            raise _refusal(f"{word} is too large for a number", event)
        return value
    return word


def _refusal(message: str, event: Any) -> NotYaml:
    return NotYaml(message, event.start_mark.index)
