"""The proof of a job's fixes: what to train next, and what the trainings so far have shown.

Pure and deterministic: it is worked out anew, from the beginning, whenever a stage of trainings has come in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradclinic.contract.diagnosis import Diagnosis, Fix
from gradclinic.contract.parse import parse_spec
from gradclinic.contract.spec import JobSpec
from gradclinic.contract.training import Verification
from gradclinic.contract.trial import Trial, TrialResult
from gradclinic.fixes import apply_patch
from gradclinic.trials.arm import Arm, cost_of, relative_cost
from gradclinic.trials.chain import chained
from gradclinic.trials.conclusion import Step, conclude, step_of
from gradclinic.trials.rounds import Round

MOST_ROUNDS = 3
"""Rounds of a proof: beyond three changes one after the other a spec is better written anew."""

HEALTHY_ENOUGH = 0.75
"""Share of its seeds on which a spec has to be healthy, to be left as it is: of three all, of five four."""

LEARNING_RATE_ALONE = "learning-rate-alone"
"""The id of the control that every other change is held against: another learning rate, and nothing else."""


@dataclass(frozen=True)
class Advance:
    """What comes next: trainings to do, none once the proof is over, and the diagnosis with the verdicts so far."""

    trials: tuple[Trial, ...]
    diagnosis: Diagnosis
    planned: int


def advance(document: Mapping[str, Any], baseline: TrialResult, results: Sequence[TrialResult]) -> Advance:
    """Say which trainings come next, and what those so far have shown.

    Args:
        document: The job's spec as posted.
        baseline: How its own training came out, with the fixes that were proposed.
        results: Of all trials so far, in any order.

    Raises:
        InvalidSpec: The document is not a valid spec.
    """
    return _Proof(document, parse_spec(document), baseline, results).advance()


def trials_at_most(verification: Verification, fixes: int | None = None) -> int:
    """Return the budget in trainings: every fix and the learning rate alone on all seeds, and the controls.

    Args:
        verification: What the spec asks for.
        fixes: How many were proposed, where that is known; `all` counts as none before.
    """
    return verification.trials_at_most(fixes) or 0


@dataclass(frozen=True)
class _Proof:
    document: Mapping[str, Any]
    spec: JobSpec
    baseline: TrialResult
    results: Sequence[TrialResult]

    def advance(self) -> Advance:
        proposed, verification = self.baseline.diagnosis.fixes, self.spec.verification
        # Where nothing was trained there is no outcome that a fix could better: its findings are predictions, and it a proposal.
        if not proposed or verification.fixes == 0 or self.spec.training.is_preflight:
            return Advance((), self.baseline.diagnosis, 0)
        steps: list[Step] = []
        base, pool = self._arm(None), list(proposed)
        for number in range(1, MOST_ROUNDS + 1):
            arms = [self._arm(fix) for fix in _chosen(pool, verification)]
            if not arms:
                break
            round_ = Round(number, base, tuple(arms), self._seeds)
            trials = self._affordable(round_)
            step = step_of(round_.as_judged(), self._arm(None))
            steps.append(step)
            if trials:
                planned = len(self.results) + len(trials) + round_.expected()
                return Advance(tuple(trials), self._concluded(steps, {trial.fix for trial in trials}), planned)
            if step.best is None:
                tried = {arm.id for arm in arms}
                pool = [fix for fix in pool if fix.id not in tried and chained(base.fix, fix).id not in tried]
                continue
            if step.best.arm.healthy_share >= HEALTHY_ENOUGH:
                break
            base, pool = self._arm(step.best.arm.fix), _left_to_mend(step.best.arm)
        return Advance((), self._concluded(steps), len(self.results))

    @property
    def _seeds(self) -> tuple[int, ...]:
        return tuple(self.baseline.seed + place for place in range(self.spec.verification.seeds))

    @property
    def _budget(self) -> float:
        verification = self.spec.verification
        return verification.budget or float(trials_at_most(verification, len(self.baseline.diagnosis.fixes)))

    def _arm(self, fix: Fix | None) -> Arm:
        id_ = fix.id if fix else None
        found = {result.seed: result for result in self.results if result.fix == id_}
        if fix is None:
            return Arm(None, self.document, {self.baseline.seed: self.baseline} | found)
        return Arm(fix, apply_patch(self.document, fix.patch), found)

    def _affordable(self, round_: Round) -> list[Trial]:
        """Return the trainings that the round wants next, as many as the budget has room for, the most important first."""
        room = self._budget - sum(cost_of(result, self.baseline) for result in self.results)
        trials = []
        for arm, seed in round_.wanted():
            cost = relative_cost(parse_spec(arm.document), self.spec)
            if cost <= room:
                room -= cost
                trials.append(Trial(round=round_.number, fix=arm.id, seed=seed, document=dict(arm.document)))
        return trials

    def _concluded(self, steps: Sequence[Step], pending: Collection[str | None] = ()) -> Diagnosis:
        return conclude(self.baseline, steps, self.results, budget=self._budget, pending=pending)


def _chosen(pool: Sequence[Fix], verification: Verification) -> list[Fix]:
    """Return the fixes to try: the first of the list, as many as the spec asks for, and the learning rate alone."""
    others = [fix for fix in pool if not fix.id.endswith(LEARNING_RATE_ALONE)]
    chosen = others if verification.fixes == "all" else others[: verification.fixes]
    # One change of the learning rate alone is control enough, and a fix that is one may be it.
    controls = [fix for fix in pool if _is_learning_rate_alone(fix) and fix not in chosen]
    return list(chosen) if any(map(_is_learning_rate_alone, chosen)) else [*chosen, *controls[-1:]]


def _is_learning_rate_alone(fix: Fix) -> bool:
    paths = {operation["path"] for operation in fix.patch}
    return fix.id.endswith(LEARNING_RATE_ALONE) or (fix.kind == "learning_rate" and paths == {"/optimizer/lr"})


def _left_to_mend(base: Arm) -> list[Fix]:
    """Return what was proposed for what a fix left, each as a change on top of it."""
    unhealthy = [result for _, result in sorted(base.results.items()) if result.diagnosis.fixes]
    return [chained(base.fix, fix) for fix in unhealthy[0].diagnosis.fixes] if unhealthy else []
