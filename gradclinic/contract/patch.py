"""JSON Patches (RFC 6902) of a posted spec: applying one, and the operations that set a value at a place.

Whether a valid spec comes out is not asked here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jsonpatch

from gradclinic.contract.naming import pointer
from gradclinic.errors import Fault, InvalidSpec

Operation = dict[str, Any]

_INDEX = re.compile(r"0|[1-9]\d{0,9}")
"""How a JSON pointer writes the place of an item (RFC 6901, section 4)."""


def patch_document(
    document: Mapping[str, Any], patch: Sequence[Mapping[str, Any]], *, in_place: bool = False
) -> dict[str, Any]:
    """Apply a patch to a document and return the new one; `document` stays as it is, unless `in_place`.

    Raises:
        InvalidSpec: The patch does not apply.
    """
    try:
        start = document if in_place else _unshared(document)
        patched: dict[str, Any] = jsonpatch.apply_patch(start, _unshared(patch), in_place=True)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        expected = "a JSON Patch (RFC 6902) of the spec as posted"
        raise InvalidSpec([Fault("", f"The patch does not apply: {error}.", expected)]) from error
    return patched


def set_value(document: Mapping[str, Any], keys: Sequence[str], value: Any) -> list[Operation]:
    """Return the operations that set a value under keys of objects and places in lists; a missing object is added first.

    None if the value stands there already.

    Raises:
        InvalidSpec: The keys lead into something that can hold no such key; its one fault names the place.
    """
    operations: list[Operation] = []
    here: Any = document
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        is_there = _holds(here, key, keys[:depth])
        here = _within(here, key) if is_there else None
        if last and is_there and _same(here, value):
            return operations
        if not last and here is not None:
            continue
        wanted: Any = value if last else {}
        path = pointer(*keys[: depth + 1])
        operations.append({"op": "replace" if is_there else "add", "path": path, "value": _unshared(wanted)})
    return operations


def _holds(here: Any, key: str, place: Sequence[str]) -> bool:
    """Tell whether something is there under a key; what is not there yet can get one."""
    match here:
        case None:
            return False
        case Mapping():
            return key in here
        case list() | tuple():
            if _INDEX.fullmatch(key) and int(key) < len(here):
                return True
            detail = f"There is no item {key!r} in this list of {len(here)}."
            raise InvalidSpec([Fault(pointer(*place), detail, f"a place from 0 to {len(here) - 1}" if here else None)])
        case _:
            detail = f"This is a single value, and there is no {key!r} in it."
            raise InvalidSpec([Fault(pointer(*place), detail, "an object or a list")])


def _within(here: Any, key: str) -> Any:
    return here[key] if isinstance(here, Mapping) else here[int(key)]


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same JSON. Python's own comparison takes 1, 1.0 and true for equal."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _unshared(value: Any) -> Any:
    """Copy plain objects so that none stands in two places, as YAML's anchors make them: a patch changes one place."""
    if isinstance(value, Mapping):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list | tuple) else value
