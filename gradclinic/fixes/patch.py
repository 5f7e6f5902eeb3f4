"""JSON Patches (RFC 6902): applying one to a posted spec, and the operations that set a value in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jsonpatch

from gradclinic.contract.naming import pointer
from gradclinic.contract.parse import parse_spec
from gradclinic.errors import Fault, InvalidSpec

Operation = dict[str, Any]


def apply_patch(document: Mapping[str, Any], patch: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Apply a patch to a spec and return the new one; `document` stays as it is.

    Raises:
        InvalidSpec: The patch does not apply, or what comes out is no valid spec.
    """
    try:
        patched = jsonpatch.apply_patch(_unshared(document), _unshared(patch), in_place=True)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        expected = "a JSON Patch (RFC 6902) of the spec as posted"
        raise InvalidSpec([Fault("", f"The patch does not apply: {error}.", expected)]) from error
    parse_spec(patched)
    spec: dict[str, Any] = patched
    return spec


def _unshared(value: Any) -> Any:
    """Copy plain objects so that none stands in two places, as YAML's anchors make them: a patch changes one place."""
    if isinstance(value, Mapping):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list | tuple) else value


def set_value(document: Mapping[str, Any], keys: Sequence[str], value: Any) -> list[Operation]:
    """Return the operations that set a value under keys of objects; a missing parent is added first.

    None if the value stands there already.
    """
    operations: list[Operation] = []
    here: Any = document
    for depth, key in enumerate(keys):
        path = pointer(*keys[: depth + 1])
        is_there = isinstance(here, Mapping) and key in here
        here = here[key] if is_there else None
        wanted: Any = value if depth == len(keys) - 1 else {}
        if depth == len(keys) - 1 and is_there and here == value:
            return operations
        if depth < len(keys) - 1 and here is not None:
            continue
        operations.append({"op": "replace" if is_there else "add", "path": path, "value": _unshared(wanted)})
    return operations
