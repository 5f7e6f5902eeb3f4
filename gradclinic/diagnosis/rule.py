"""What a rule is: an id, its own documentation, the signals it needs, one pure check, and an example of each side."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gradclinic.contract.catalogue import RuleInfo
from gradclinic.contract.diagnosis import Finding, RuleId
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.thresholds import THRESHOLDS

HEADINGS = ("Sees", "Hurts", "Silent", "Foresees", "Source")
"""The headings of a rule's documentation, in this order, each at the start of a paragraph. `Foresees` is for those that can."""


@dataclass(frozen=True)
class Rule:
    """A detector of one problem.

    `check` returns the finding, or None; it is called only where all of `signals` were recorded. `caused_by` lists the
    rules whose finding explains this one, the likeliest first. `foresee` is the check of a preflight, where nothing was
    trained; None where there is nothing to say before that. `sick` and `healthy` are specs on which it has to fire
    and to stay below a warning.

    `certain` is asked in place of `check` while the training goes on, once it is lost (`gradclinic.diagnosis.fate`): it
    returns the finding only if nothing that the remaining steps record can take it back. That is so of what rests on facts, on
    the first steps, or on something that needs to happen once; a rule without it has no say before the end.
    """

    id: RuleId
    documentation: str
    signals: tuple[str, ...]
    check: Callable[[Case], Finding | None]
    foresee: Callable[[Case], Finding | None] | None = None
    thresholds: tuple[str, ...] = ()
    caused_by: tuple[RuleId, ...] = ()
    certain: Callable[[Case], Finding | None] | None = None
    sick: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    healthy: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)

    def info(self) -> RuleInfo:
        """Return the rule's entry in the catalogue."""
        text = inspect.cleandoc(self.documentation)
        title, *_ = text.split("\n\n", 1)
        sections = {
            heading: " ".join(found.group(1).split())
            for heading in HEADINGS
            if (found := re.search(rf"^{heading}: (.*?)(?:\n\n|\Z)", text, re.DOTALL | re.MULTILINE))
        }
        return RuleInfo(
            id=self.id,
            title=" ".join(title.split()),
            sees=sections["Sees"],
            hurts=sections["Hurts"],
            silent=sections["Silent"],
            foresees=sections.get("Foresees"),
            source=sections["Source"],
            signals=list(self.signals),
            thresholds=[THRESHOLDS[name] for name in self.thresholds],
        )
