"""JSON Patches (RFC 6902) that are fixes: applied to a posted spec, a valid spec comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradclinic.contract.parse import parse_spec
from gradclinic.contract.patch import Operation, patch_document, set_value

__all__ = ["Operation", "apply_patch", "patched", "set_value"]

_LONG = frozenset({"x", "y"})
"""Keys of inline data, which may be a megabyte of numbers."""


def apply_patch(document: Mapping[str, Any], patch: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Apply a patch to a spec and return the new one; `document` stays as it is.

    Raises:
        InvalidSpec: The patch does not apply, or what comes out is no valid spec.
    """
    spec = patch_document(document, patch)
    parse_spec(spec)
    return spec


def patched(document: Mapping[str, Any], patch: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Apply the patch of a fix to the spec that it was proposed for. Nothing is judged again, and inline data are shared, not copied.

    Raises:
        InvalidSpec: The patch does not apply.
    """
    data = document.get("data")
    if not isinstance(data, Mapping) or any(_touches_numbers(str(operation.get("path", ""))) for operation in patch):
        return patch_document(document, patch)
    light = {key: value for key, value in data.items() if key not in _LONG}
    made = patch_document({**document, "data": light}, patch)
    made["data"] = {**made["data"], **{key: value for key, value in data.items() if key in _LONG}}
    return made


def _touches_numbers(path: str) -> bool:
    """Whether an operation is about the data as a whole, or the numbers in it."""
    keys = path.split("/")[1:]
    return keys[:1] == ["data"] and (len(keys) == 1 or keys[1] in _LONG)
