"""What a proof has shown: a verdict for every fix that was tried, and which one to take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradclinic.contract.diagnosis import Diagnosis, Fix, Proof, Verdict
from gradclinic.contract.training import LEAST_SEEDS
from gradclinic.contract.trial import TrialResult
from gradclinic.trials.arm import Arm, cost_of
from gradclinic.trials.judging import EQUAL, Comparison, compare, effect_of, verdict_of
from gradclinic.trials.rounds import Round, best_of
from gradclinic.trials.statistics import IN_WORDS
from gradclinic.trials.words import WITHOUT_ROOM, recommendation, verdict_in_words

_ORDER: Mapping[Verdict, int] = {"verified": 0, "inconclusive": 1, "untested": 2, "no_effect": 3, "harmful": 4}


@dataclass(frozen=True)
class Step:
    """What a round showed: its arms beside the posted spec, the verdict on each, and the one to go on with."""

    round: Round
    compared: Mapping[str, Comparison]
    beside_base: Mapping[str, Comparison]
    verdicts: Mapping[str, Verdict]
    best: Comparison | None


def step_of(round_: Round, posted: Arm) -> Step:
    """Judge a round.

    Where its base is the posted spec a fix has to be better than that. A link of a chain has to be better than what it
    builds on, or leave it as good and healthier, and the chain as a whole better than the posted spec.
    """
    beside_base = round_.compared()
    if round_.base.fix is None:
        compared = beside_base
        verdicts = {name: verdict_of(one) for name, one in compared.items()}
    else:
        tried = [arm for arm in round_.arms if arm.results]
        compared = compare(posted, tried, round_.seeds)
        verdicts = {name: _verdict_of_link(beside_base[name], one) for name, one in compared.items()}
    verified = [one for name, one in compared.items() if verdicts[name] == "verified"]
    return Step(round_, compared, beside_base, verdicts, best_of(verified))


def _verdict_of_link(on_base: Comparison, on_posted: Comparison) -> Verdict:
    own = verdict_of(on_base)
    mends = (
        len(on_base.pairs) >= LEAST_SEEDS
        and on_base.gain >= -EQUAL
        and on_base.arm.healthy_share > on_base.base.healthy_share
    )
    if own == "verified" or mends:
        return verdict_of(on_posted)
    return own


def conclude(  # noqa: PLR0913 - what a proof is made of, each by its name
    baseline: TrialResult,
    steps: Sequence[Step],
    results: Sequence[TrialResult],
    *,
    budget: float,
    pending: frozenset[str | None] = frozenset(),
    unpaid: frozenset[str | None] = frozenset(),
) -> Diagnosis:
    """Return the baseline's diagnosis with the verdicts so far, best first.

    `pending` fixes have none yet; for `unpaid` ones the budget had no room, or not for all that they would have needed.
    """
    judged = {name: (step, one) for step in steps for name, one in step.compared.items() if name not in pending}
    best = best_of([one for name, (step, one) in judged.items() if step.verdicts[name] == "verified"])
    taken = best.arm.id if best else None
    proposed = {fix.id: fix for fix in baseline.diagnosis.fixes}
    chains = {name: one.arm.fix for name, (_, one) in judged.items() if name not in proposed and one.arm.fix}
    told = _not_done(steps) | dict.fromkeys(unpaid, WITHOUT_ROOM)
    fixes = [
        _judged(fix, judged[fix.id], fix.id == taken, told.get(fix.id))
        if fix.id in judged
        else fix.model_copy(update={"verdict_why": None if fix.id in pending else told.get(fix.id)})
        for fix in (proposed | chains).values()
    ]
    fixes.sort(key=lambda fix: (not fix.recommended, _ORDER[fix.verdict]))
    proof = Proof(
        test=IN_WORDS,
        trials=len(results),
        rounds=len(steps),
        cost=round(sum(cost_of(result, baseline) for result in results), 2),
        budget=budget,
        recommendation=recommendation(best, len(judged), is_over=not pending),
    )
    return baseline.diagnosis.model_copy(update={"fixes": fixes, "proof": proof})


def _not_done(steps: Sequence[Step]) -> dict[str | None, str]:
    """Say of the fixes that could not be trained on some seed why."""
    arms = [arm for step in steps for arm in step.round.arms if arm.failed]
    return {arm.id: f"It could not be trained. {next(iter(arm.failed.values()))}" for arm in arms}


def _judged(fix: Fix, judged: tuple[Step, Comparison], is_taken: bool, told: str | None) -> Fix:
    """Return a fix with its verdict; `told` is what kept it from being tried as it should."""
    step, compared = judged
    verdict, base = step.verdicts[fix.id], step.round.base.fix
    # What a link that was not verified lacked, it lacked beside what it builds on.
    decisive = compared if verdict == "verified" else step.beside_base[fix.id]
    return fix.model_copy(
        update={
            "verdict": verdict,
            "verdict_why": verdict_in_words(verdict, decisive, base.title if base else None, told),
            "effect": effect_of(compared),
            "recommended": is_taken,
        }
    )
