"""JSON Patches (RFC 6902) that are fixes: applied to a posted spec, a valid spec comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradclinic.contract.parse import parse_spec
from gradclinic.contract.patch import Operation, patch_document, set_value

__all__ = ["Operation", "apply_patch", "set_value"]


def apply_patch(document: Mapping[str, Any], patch: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Apply a patch to a spec and return the new one; `document` stays as it is.

    Raises:
        InvalidSpec: The patch does not apply, or what comes out is no valid spec.
    """
    spec = patch_document(document, patch)
    parse_spec(spec)
    return spec
