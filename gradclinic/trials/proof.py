"""The proof of a job's fixes: what to train next, and what the trainings so far have shown.

Pure and deterministic: it is worked out anew, from the beginning, whenever a stage of trainings has come in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradclinic.contract.diagnosis import Diagnosis, Fix
from gradclinic.contract.training import Training, Verification
from gradclinic.contract.trial import Trial, TrialResult
from gradclinic.errors import InvalidSpec
from gradclinic.fixes.patch import patched
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
        document: The job's spec as posted; it is valid.
        baseline: How its own training came out, with the fixes that were proposed.
        results: Of all trials so far, in any order.
    """
    verification = Verification.model_validate(document.get("verification") or {})
    training = Training.model_validate(document.get("training") or {})
    return _Proof(document, verification, training, baseline, results).advance()


@dataclass(frozen=True)
class _Proof:
    document: Mapping[str, Any]
    verification: Verification
    training: Training
    baseline: TrialResult
    results: Sequence[TrialResult]

    def advance(self) -> Advance:
        proposed = self.baseline.diagnosis.fixes
        # Where nothing was trained there is no outcome that a fix could better: its findings are predictions, and it a proposal.
        if not proposed or self.verification.fixes == 0 or self.training.is_preflight:
            return Advance((), self.baseline.diagnosis, 0)
        steps: list[Step] = []
        unpaid: set[str | None] = set()
        base, pool = self._posted(), list(proposed)
        for number in range(1, MOST_ROUNDS + 1):
            arms = [arm for fix in _chosen(pool, self.verification) if (arm := self._arm(fix)) is not None]
            if not arms:
                break
            round_ = Round(number, base, tuple(arms), self._seeds, keeps_all=self.verification.fixes == "all")
            trials, unpaid = self._affordable(round_)
            step = step_of(round_.as_judged(), self._posted())
            steps.append(step)
            if trials:
                planned = len(self.results) + len(trials) + round_.expected()
                pending = {trial.fix for trial in trials}
                return Advance(tuple(trials), self._concluded(steps, pending=pending), planned)
            if step.best is None:
                tried = {arm.id for arm in arms if arm.results or arm.failed}
                pool = [fix for fix in pool if fix.id not in tried]
                if not tried:
                    break  # what is left is too dear
                continue
            if step.best.arm.healthy_share >= HEALTHY_ENOUGH or step.best.arm.fix is None:
                break
            base, pool = self._arm(step.best.arm.fix) or base, _left_to_mend(step.best.arm)
        return Advance((), self._concluded(steps, unpaid=unpaid), len(self.results))

    @property
    def _seeds(self) -> tuple[int, ...]:
        return tuple(self.baseline.seed + place for place in range(self.verification.seeds))

    @property
    def _budget(self) -> float:
        return self.verification.budget or float(
            self.verification.trials_at_most(len(self.baseline.diagnosis.fixes)) or 0
        )

    def _posted(self) -> Arm:
        return self._with_results(None, self.document)

    def _arm(self, fix: Fix) -> Arm | None:
        """Return the arm of a fix; None where its patch does not apply, so that it stays untested."""
        try:
            return self._with_results(fix, patched(self.document, fix.patch))
        except InvalidSpec:
            return None

    def _with_results(self, fix: Fix | None, document: Mapping[str, Any]) -> Arm:
        found = [result for result in self.results if result.fix == (fix.id if fix else None)]
        first = {} if fix else {self.baseline.seed: self.baseline}
        done = {result.seed: result for result in found if result.failed is None}
        return Arm(fix, document, first | done, {one.seed: one.failed for one in found if one.failed is not None})

    def _affordable(self, round_: Round) -> tuple[list[Trial], set[str | None]]:
        """Return the trainings of the first stage that lacks some that the budget has room for, and the fixes it has none for."""
        room = self._budget - sum(cost_of(result, self.baseline) for result in self.results)
        costs = {arm.id: self._cost(arm) for arm in (round_.base, *round_.arms)}
        # A longer training shall not take what a plain one needs to be proven.
        reserve = 2.0 * (len(round_.seeds) - 1) if any(costs[arm.id] <= 1 for arm in round_.arms) else 0.0
        unpaid: set[str | None] = set()
        for place, stage in enumerate(round_.stages()):
            trials: list[Trial] = []
            for group in stage:
                cost = sum(costs[arm.id] for arm, _ in group)
                if cost > room - (reserve if place == 0 and cost > 1 else 0.0):
                    unpaid |= {arm.id for arm, _ in group}
                    continue
                room -= cost
                trials += [self._trial(round_, arm, seed) for arm, seed in group]
            if trials:
                return trials, unpaid
        return [], unpaid

    def _cost(self, arm: Arm) -> float:
        return relative_cost(Training.model_validate(arm.document.get("training") or {}), self.training)

    def _trial(self, round_: Round, arm: Arm, seed: int) -> Trial:
        patch = arm.fix.patch if arm.fix else []
        return Trial(round=round_.number, fix=arm.id, seed=seed, patch=patch, document=dict(arm.document))

    def _concluded(
        self, steps: Sequence[Step], *, pending: Collection[str | None] = (), unpaid: Collection[str | None] = ()
    ) -> Diagnosis:
        return conclude(
            self.baseline,
            steps,
            self.results,
            budget=self._budget,
            pending=frozenset(pending),
            unpaid=frozenset(unpaid),
        )


def _chosen(pool: Sequence[Fix], verification: Verification) -> list[Fix]:
    """Return the fixes to try: the first of the list, as many as the spec asks for, and the learning rate alone."""
    others = [fix for fix in pool if not fix.id.endswith(LEARNING_RATE_ALONE)]
    chosen = others if verification.fixes == "all" else others[: verification.fixes]
    # One change of the learning rate alone is control enough, and a fix that is one may be it.
    controls = [fix for fix in pool if _is_learning_rate_alone(fix) and fix not in chosen]
    controls.sort(key=lambda fix: not fix.id.endswith(LEARNING_RATE_ALONE))
    return list(chosen) if any(map(_is_learning_rate_alone, chosen)) else [*chosen, *controls[:1]]


def _is_learning_rate_alone(fix: Fix) -> bool:
    paths = {operation["path"] for operation in fix.patch}
    return fix.id.endswith(LEARNING_RATE_ALONE) or (fix.kind == "learning_rate" and paths == {"/optimizer/lr"})


def _left_to_mend(base: Arm) -> list[Fix]:
    """Return what was proposed for what a fix left, each as a change on top of it."""
    unhealthy = [result for _, result in sorted(base.results.items()) if result.diagnosis.fixes]
    return [chained(base.fix, fix) for fix in unhealthy[0].diagnosis.fixes] if unhealthy else []
