"""Gathers what fix modules propose for the findings of one diagnosis, each change once, with its place in the order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gradclinic.contract.catalogue import FixRecord
from gradclinic.contract.diagnosis import Finding, Fix, FixKind, RuleId
from gradclinic.contract.parse import parse_spec
from gradclinic.contract.spec import JobSpec
from gradclinic.errors import InvalidSpec
from gradclinic.fixes.candidate import Candidate, FixModule
from gradclinic.fixes.catalogue import references
from gradclinic.fixes.patch import apply_patch
from gradclinic.fixes.posted import Posted
from gradclinic.fixes.ranking import chance_of_help, rank


@dataclass
class Proposal:
    """A candidate, what it addresses, and its place in the order (smaller is better)."""

    fix: FixModule
    candidate: Candidate
    order: tuple[int, int, int, int]
    addresses: list[RuleId] = field(default_factory=list)

    def told(self, rules: Sequence[RuleId]) -> Fix:
        """Return it as the contract has it; `rules` are those of the diagnosis in their order."""
        return Fix(
            id=self.candidate.slug,
            kind=self.fix.KIND,
            title=self.candidate.title,
            addresses=[rule for rule in dict.fromkeys(rules) if rule in self.addresses],
            patch=self.candidate.patch,
            why=self.candidate.why,
            references=references(self.fix),
        )


class Proposals:
    """What is proposed for one spec."""

    def __init__(self, posted: Posted, is_valid: Callable[[JobSpec], bool]) -> None:
        self._posted = posted
        self._is_valid = is_valid
        self._found: dict[str, Proposal] = {}

    def share(self, root: RuleId, rule: RuleId) -> bool:
        """Let what addresses a root address what follows from it; say whether there is any."""
        shared = [proposal for proposal in self._found.values() if root in proposal.addresses]
        for proposal in shared:
            proposal.addresses.append(rule)
        return bool(shared)

    def add(self, finding: Finding, place: int, fixes: Sequence[FixModule]) -> None:
        """Add what fixes propose for a finding; where another finding brought up the same change, it addresses both.

        `place` is that of the finding in its diagnosis.
        """
        for fix in fixes:
            proposed = fix.propose(self._posted, finding) if finding.rule in fix.ADDRESSES else []
            for choice, candidate in enumerate(proposed):
                cure_or_treatment, at = rank(fix.KIND, finding)
                # A kind's second choice stands behind the first of every kind: whoever tries three tries three kinds.
                order = (cure_or_treatment, choice, place, at)
                proposal = self._found.get(candidate.slug)
                if proposal is None and gives_a_valid_spec(self._posted, candidate, self._is_valid):
                    proposal = self._found[candidate.slug] = Proposal(fix, candidate, order)
                if proposal is not None:
                    proposal.order = min(proposal.order, order)
                    proposal.addresses.append(finding.rule)

    def sorted(self, records: Mapping[tuple[FixKind, RuleId], FixRecord]) -> list[Proposal]:
        """Return them in the order worked out beforehand, which what trials showed moves as far as there were enough of them."""
        known = sorted(self._found.values(), key=lambda proposal: proposal.order)
        chances = [
            chance_of_help(
                place, [found for rule in set(proposal.addresses) if (found := records.get((proposal.fix.KIND, rule)))]
            )
            for place, proposal in enumerate(known)
        ]
        return [known[place] for place in sorted(range(len(known)), key=lambda place: -chances[place])]


def gives_a_valid_spec(posted: Posted, candidate: Candidate, is_valid: Callable[[JobSpec], bool]) -> bool:
    """Whether the patched spec is valid: one at the limits of the contract (nesting, layers in a list) may not be."""
    try:
        patched = apply_patch(posted.document, candidate.patch)
    except InvalidSpec:
        return False
    return is_valid(parse_spec(patched))
