"""What a fix module is made of, and what it proposes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.fixes.patch import Operation
from gradclinic.fixes.posted import Posted


@dataclass(frozen=True)
class Candidate:
    """A change of one spec that a fix proposes for one finding.

    `slug` names the change and becomes the fix's id: candidates of one slug, for two findings, are the same fix.
    """

    slug: str
    title: str
    patch: list[Operation]
    why: str


class FixModule(Protocol):
    """A module of this package that makes fixes of one kind.

    Its docstring has the headings that `gradclinic.fixes.catalogue` reads.
    """

    KIND: FixKind
    ADDRESSES: tuple[RuleId, ...]

    def propose(self, posted: Posted, finding: Finding) -> list[Candidate]:
        """Return the changes of this kind that address the finding, best first; none where there is none."""
