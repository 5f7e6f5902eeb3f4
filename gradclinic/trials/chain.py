"""Changes one after the other, as one change: a chain has one patch of the posted spec, and an id of its own."""

from __future__ import annotations

from gradclinic.contract.diagnosis import Fix


def chained(first: Fix | None, second: Fix) -> Fix:
    """Return the change that makes `first` and then `second`, which was proposed for the spec that `first` gives."""
    if first is None:
        return second
    return Fix(
        id=f"{first.id}+{second.id}",
        kind=first.kind,
        title=f"{first.title}; then: {second.title}",
        addresses=list(dict.fromkeys((*first.addresses, *second.addresses))),
        patch=[*first.patch, *second.patch],
        why=f"{first.why} Then: {second.why}",
        references=list(dict.fromkeys((*first.references, *second.references))),
        chain=[*(first.chain or [first.id]), second.id],
    )
