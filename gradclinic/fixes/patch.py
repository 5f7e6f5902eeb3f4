"""JSON Patches (RFC 6902): applying one to a posted spec, and the operations that set a value in one."""

from __future__ import annotations

import copy
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
    # Copied, so that the new document shares no object with the patch.
    operations = [copy.deepcopy(dict(operation)) for operation in patch]
    try:
        patched = jsonpatch.apply_patch(copy.deepcopy(dict(document)), operations)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        expected = "a JSON Patch (RFC 6902) of the spec as posted"
        raise InvalidSpec([Fault("", f"The patch does not apply: {error}.", expected)]) from error
    parse_spec(patched)
    spec: dict[str, Any] = patched
    return spec


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
        operations.append({"op": "replace" if is_there else "add", "path": path, "value": copy.deepcopy(wanted)})
    return operations
