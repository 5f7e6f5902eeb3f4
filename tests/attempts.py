"""What a worker does to a job in the database, without training: taking its runs up, and ending them."""

from __future__ import annotations

from typing import Any

from gradclinic.contract.diagnosis import Diagnosis, Finding, Fix, Outcome
from gradclinic.contract.job import JobError
from gradclinic.contract.trial import TrialResult
from gradclinic.history import RunFacts
from store.claim import Claim
from store.endings import fail_run, finish_job, finish_run
from store.queue import claim_run
from store.runs import baseline_of
from store.transactions import Writer

OUTCOME = Outcome(train_loss=1.0, val_loss=None, metric=None, steps=5)
FINDING = Finding(rule="loss_not_decreasing", severity="critical", first_step=None, summary="It stands still.")
ERROR = JobError(type="out_of_memory", title="It broke.", detail="Use less.")


def claim_baseline(writer: Writer, job_id: str, *, worker: str = "a-test", lease_seconds: float = 60.0) -> Claim | None:
    """Take up a job's baseline, if it is to be had."""
    return claim_run(writer, baseline_of(writer, job_id).id, worker=worker, lease_seconds=lease_seconds)


def diagnosis_of(health: Any = "healthy", **more: Any) -> Diagnosis:
    """Make a diagnosis."""
    return Diagnosis(**({"health": health, "outcome": OUTCOME, "findings": []} | more))


def end_baseline(writer: Writer, claim: Claim, health: Any = "healthy", **more: Any) -> None:
    """End a baseline whose job has no fixes to prove, and the job with it."""
    diagnosis = diagnosis_of(health, **more)
    finish_run(writer, claim, facts=RunFacts(outcome=diagnosis.outcome), diagnosis=diagnosis)
    finish_job(writer, claim.job_id, diagnosis)


def fail_baseline(writer: Writer, claim: Claim, error: JobError = ERROR) -> None:
    """End a baseline that could not be done, and its job with it."""
    fail_run(writer, claim, error)


def result_of(claim: Claim, score: float, *, health: Any = "critical", fixes: int = 0) -> TrialResult:
    """Make up how a run came out, with as many proposed fixes of its learning rate."""
    trial = claim.trial
    findings = [] if health == "healthy" else [FINDING]
    diagnosis = diagnosis_of(health, findings=findings, fixes=[_fix(number) for number in range(fixes)])
    return TrialResult(
        round=0 if trial is None else trial.round,
        fix=None if trial is None else trial.fix,
        seed=0 if trial is None else trial.seed,
        metric="accuracy",
        score=score,
        floor=0.3,
        loss="CrossEntropyLoss",
        val_skill=score,
        steps=120,
        planned=120,
        samples=64,
        seconds=1.0,
        parameters=15,
        diagnosis=diagnosis,
    )


def finish_with(writer: Writer, claim: Claim, result: TrialResult) -> None:
    """End a run with a result. What follows from it for the job is not worked out."""
    facts = RunFacts(outcome=result.diagnosis.outcome)
    finish_run(writer, claim, facts=facts, diagnosis=result.diagnosis, result=result)


def _fix(number: int) -> Fix:
    return Fix(
        id=f"optimizer-{number}",
        kind="optimizer",
        title=f"Another optimizer, the {number}th",
        addresses=["loss_not_decreasing"],
        patch=[{"op": "replace", "path": "/optimizer", "value": {"type": "Adam", "lr": 0.01 + number / 1000}}],
        why="It goes on where this one stands still.",
    )
