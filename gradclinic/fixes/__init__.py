"""Changes of a posted spec that address what was found in its training, as JSON Patches, best first.

A fix is proposed, not proven: its verdict is `untested` until a trial has trained the patched spec.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gradclinic.contract.catalogue import FixInfo, FixRecord
from gradclinic.contract.diagnosis import Diagnosis, Finding, Fix, FixKind, RuleId
from gradclinic.contract.parse import parse_spec
from gradclinic.contract.spec import JobSpec
from gradclinic.errors import InvalidSpec
from gradclinic.fixes import (
    activation,
    gradient_clipping,
    initialization,
    learning_rate,
    normalization,
    optimizer,
    residual,
)
from gradclinic.fixes.candidate import Candidate, FixModule
from gradclinic.fixes.catalogue import describe, references
from gradclinic.fixes.measured import Measured
from gradclinic.fixes.patch import apply_patch
from gradclinic.fixes.posted import Posted, read_posted
from gradclinic.fixes.ranking import chance_of_help, rank

__all__ = ["FIXES", "Measured", "apply_patch", "catalogue", "learning_rate_alone", "propose_fixes"]

FIXES: tuple[FixModule, ...] = (
    activation,
    initialization,
    normalization,
    residual,
    optimizer,
    gradient_clipping,
    learning_rate,
)
"""All kinds of fixes that exist."""

IMPLIED_BY: Mapping[RuleId, tuple[RuleId, ...]] = {
    "loss_not_decreasing": ("vanishing_gradient", "exploding_gradient", "non_finite")
}
"""Findings that follow from others also where the diagnosis does not say so: what cures those is what they need."""


UNMEASURED = Measured()


def propose_fixes(
    document: Mapping[str, Any],
    diagnosis: Diagnosis,
    *,
    is_valid: Callable[[JobSpec], bool] = lambda _: True,
    measured: Measured = UNMEASURED,
    records: Mapping[tuple[FixKind, RuleId], FixRecord] = MappingProxyType({}),
) -> list[Fix]:
    """Propose fixes for the findings above `info`, best first. Every patch applies to `document` and gives a valid spec.

    A finding that follows from another gets the other's fixes, and its own only where the other has none.

    Args:
        document: The spec as posted.
        diagnosis: What was found in its training.
        is_valid: What a patched spec has to stand beyond the contract. On paper nobody can tell whether it resolves
            within the limits of who is to train it; `gradclinic.model.is_resolvable` can.
        measured: What was measured of the training; what is not is set by habit.
        records: What trials showed of each kind of fix for each finding, over other jobs: it moves the order.

    Raises:
        InvalidSpec: The document is not a valid spec.
    """
    findings = [finding for finding in diagnosis.findings if finding.severity != "info"]
    if not findings:
        return []
    posted = read_posted(document, measured)
    roots = [_root(finding, findings) for finding in findings]
    proposals: list[_Proposal] = []
    # Roots first, so that what follows from them finds their fixes.
    for finding, root in sorted(zip(findings, roots, strict=True), key=lambda pair: pair[0] is not pair[1]):
        of_root = [] if finding is root else [p for p in proposals if root.rule in p.addresses]
        for proposal in of_root:
            proposal.addresses.append(finding.rule)
        if not of_root:
            _propose_for(posted, finding, findings.index(finding), proposals, is_valid)
    return _finished(_by_experience(proposals, records), [finding.rule for finding in findings])


def learning_rate_alone(
    document: Mapping[str, Any],
    diagnosis: Diagnosis,
    measured: Measured,
    is_valid: Callable[[JobSpec], bool] = lambda _: True,
) -> Fix | None:
    """Return the change of the learning rate alone to what was measured: what every other fix has to be compared with.

    None where nothing is wrong, none was measured, or the posted one is within a tenth of it.

    Raises:
        InvalidSpec: The document is not a valid spec.
    """
    findings = [finding for finding in diagnosis.findings if finding.severity != "info"]
    posted = read_posted(document, measured)
    candidate = learning_rate.alone(posted)
    if not findings or candidate is None or not _gives_a_valid_spec(posted, candidate, is_valid):
        return None
    roots = {_root(finding, findings).rule for finding in findings}
    return Fix(
        id=candidate.slug,
        kind=learning_rate.KIND,
        title=candidate.title,
        addresses=[finding.rule for finding in findings if finding.rule in roots],
        patch=candidate.patch,
        why=candidate.why,
        references=references(learning_rate),
    )


def catalogue() -> list[FixInfo]:
    """Return what there is to know about each kind of fix."""
    return [describe(fix) for fix in FIXES]


@dataclass
class _Proposal:
    """A candidate, what it addresses, and its place in the order (smaller is better)."""

    fix: FixModule
    candidate: Candidate
    order: tuple[int, int, int, int]
    addresses: list[RuleId] = field(default_factory=list)


def _root(finding: Finding, findings: list[Finding]) -> Finding:
    """Return the finding at the start of the chain that leads to this one; itself, where it follows from none."""
    by_rule = {other.rule: other for other in reversed(findings)}
    seen: list[Finding] = []
    while finding not in seen:
        seen.append(finding)
        causes = [finding.caused_by, *IMPLIED_BY.get(finding.rule, ())]
        finding = next((by_rule[rule] for rule in causes if rule in by_rule), finding)
    return finding


def _propose_for(
    posted: Posted, finding: Finding, place: int, proposals: list[_Proposal], is_valid: Callable[[JobSpec], bool]
) -> None:
    """Add what addresses a finding; where another finding brought up the same change, it addresses both."""
    known = {proposal.candidate.slug: proposal for proposal in proposals}
    for fix in FIXES:
        for choice, candidate in enumerate(fix.propose(posted, finding) if finding.rule in fix.ADDRESSES else ()):
            cure_or_treatment, at = rank(fix.KIND, finding)
            # A kind's second choice stands behind the first of every kind: whoever tries three tries three kinds.
            order = (cure_or_treatment, choice, place, at)
            proposal = known.get(candidate.slug)
            if proposal is None and _gives_a_valid_spec(posted, candidate, is_valid):
                proposal = _Proposal(fix, candidate, order)
                proposals.append(proposal)
            if proposal is not None:
                proposal.order = min(proposal.order, order)
                proposal.addresses.append(finding.rule)


def _gives_a_valid_spec(posted: Posted, candidate: Candidate, is_valid: Callable[[JobSpec], bool]) -> bool:
    """Whether the patched spec is valid: one at the limits of the contract (nesting, layers in a list) may not be."""
    try:
        patched = apply_patch(posted.document, candidate.patch)
    except InvalidSpec:
        return False
    return is_valid(parse_spec(patched))


def _by_experience(proposals: list[_Proposal], records: Mapping[tuple[FixKind, RuleId], FixRecord]) -> list[_Proposal]:
    """Sort by the order worked out beforehand, which what trials showed moves as far as there were enough of them."""
    known = sorted(proposals, key=lambda proposal: proposal.order)
    chances = {
        proposal.candidate.slug: chance_of_help(
            place, [found for rule in set(proposal.addresses) if (found := records.get((proposal.fix.KIND, rule)))]
        )
        for place, proposal in enumerate(known)
    }
    return sorted(known, key=lambda proposal: -chances[proposal.candidate.slug])


def _finished(proposals: list[_Proposal], rules: list[RuleId]) -> list[Fix]:
    return [
        Fix(
            id=proposal.candidate.slug,
            kind=proposal.fix.KIND,
            title=proposal.candidate.title,
            addresses=[rule for rule in dict.fromkeys(rules) if rule in proposal.addresses],
            patch=proposal.candidate.patch,
            why=proposal.candidate.why,
            references=references(proposal.fix),
        )
        for proposal in proposals
    ]
