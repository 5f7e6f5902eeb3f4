"""Changes of a posted spec that address what was found in its training, as JSON Patches, best first.

A fix is proposed, not proven: its verdict is `untested` until a trial has trained the patched spec.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from gradclinic.contract.catalogue import FixInfo, FixRecord
from gradclinic.contract.diagnosis import Diagnosis, Fix, FixKind, RuleId
from gradclinic.contract.spec import JobSpec
from gradclinic.fixes import (
    activation,
    batch_size,
    dense_connections,
    depth,
    dropout,
    early_stopping,
    gating,
    gradient_clipping,
    initialization,
    input_scaling,
    l1,
    learning_rate,
    loss,
    lr_schedule,
    normalization,
    optimizer,
    residual,
    target_scaling,
    training_length,
    warmup,
    weight_decay,
    width,
)
from gradclinic.fixes.candidate import FixModule
from gradclinic.fixes.catalogue import describe
from gradclinic.fixes.measured import Measured
from gradclinic.fixes.patch import apply_patch
from gradclinic.fixes.posted import read_posted
from gradclinic.fixes.proposals import Proposal, Proposals, gives_a_valid_spec
from gradclinic.fixes.ranking import STAND_BY_THEMSELVES
from gradclinic.fixes.roots import root_of

__all__ = ["FIXES", "Measured", "apply_patch", "catalogue", "learning_rate_alone", "propose_fixes"]

FIXES: tuple[FixModule, ...] = (
    activation,
    initialization,
    normalization,
    residual,
    dense_connections,
    gating,
    depth,
    width,
    dropout,
    loss,
    input_scaling,
    target_scaling,
    optimizer,
    gradient_clipping,
    learning_rate,
    lr_schedule,
    warmup,
    batch_size,
    training_length,
    early_stopping,
    weight_decay,
    l1,
)
"""All kinds of fixes that exist."""

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

    A finding that follows from another gets the other's fixes, and its own only where the other has none, or where they mend what
    stands in the spec or in the data by itself.

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
    proposals = Proposals(read_posted(document, measured), is_valid)
    roots = [root_of(finding, findings) for finding in findings]
    # Roots first, so that what follows from them finds their fixes.
    for finding, root in sorted(zip(findings, roots, strict=True), key=lambda pair: pair[0] is not pair[1]):
        fixes: Sequence[FixModule] = FIXES
        if finding is not root and proposals.share(root.rule, finding.rule):
            fixes = [fix for fix in FIXES if fix.KIND in STAND_BY_THEMSELVES.get(finding.rule, ())]
        proposals.add(finding, findings.index(finding), fixes)
    return [proposal.told([finding.rule for finding in findings]) for proposal in proposals.sorted(records)]


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
    if not findings or candidate is None or not gives_a_valid_spec(posted, candidate, is_valid):
        return None
    roots = {root_of(finding, findings).rule for finding in findings}
    rules = [finding.rule for finding in findings]
    return Proposal(learning_rate, candidate, (1, 0, 0, 0), sorted(roots)).told(rules)


def catalogue() -> list[FixInfo]:
    """Return what there is to know about each kind of fix."""
    return [describe(fix) for fix in FIXES]
