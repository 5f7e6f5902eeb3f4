"""Changes of the posted layers, written down in any order, as one patch: each names places of the document as posted.

The patch goes from the back to the front, because an insertion or a removal shifts what stands behind it in its list.
"""

from __future__ import annotations

from typing import Any

from gradclinic.contract.naming import pointer
from gradclinic.errors import InvalidSpec
from gradclinic.fixes.patch import Operation, apply_patch
from gradclinic.fixes.posted import Keys, Posted, read_posted


class Edits:
    """Gathers changes; none of them may lie within another that replaces or removes it."""

    def __init__(self) -> None:
        # At one place, what is there is changed before something is put in front of it.
        self._gathered: list[tuple[Keys, int, Operation]] = []

    def __len__(self) -> int:
        return len(self._gathered)

    def replace(self, keys: Keys, value: Any) -> None:
        """Put a value in the place of what is there."""
        self._gathered.append((keys, 2, {"op": "replace", "path": pointer(*keys), "value": value}))

    def set(self, keys: Keys, value: Any) -> None:
        """Set a key of a layer, whether it is posted or not."""
        self._gathered.append((keys, 2, {"op": "add", "path": pointer(*keys), "value": value}))

    def remove(self, keys: Keys) -> None:
        """Take something away."""
        self._gathered.append((keys, 1, {"op": "remove", "path": pointer(*keys)}))

    def insert(self, keys: Keys, *layers: Any) -> None:
        """Put layers before the one that is at these keys."""
        for layer in reversed(layers):
            self._gathered.append((keys, 0, {"op": "add", "path": pointer(*keys), "value": layer}))

    def insert_after(self, keys: Keys, *layers: Any) -> None:
        """Put layers behind the one that is at these keys."""
        self.insert((*keys[:-1], int(keys[-1]) + 1), *layers)

    def operations(self) -> list[Operation]:
        """Return the patch."""
        ordered = sorted(self._gathered, key=lambda edit: edit[:2], reverse=True)
        return [operation for _, _, operation in ordered]


def keeps_output(posted: Posted, edits: Edits) -> bool:
    """Whether the shapes still meet after the changes, and give the same output; not so where they were not known before.

    A sum of two, or a size that is posted, may not fit a layer that has become another one.
    """
    try:
        patched = read_posted(apply_patch(posted.document, edits.operations()), posted.measured)
    except InvalidSpec:
        return False
    known = all(None not in place.inputs for place in patched.places.values())
    return known and patched.output is not None and patched.output == posted.output
