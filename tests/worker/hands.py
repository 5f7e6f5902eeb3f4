"""What workers do to a job in the database, without a training."""

from __future__ import annotations

from collections.abc import Iterator

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.job import Job, Run
from store.claim import Claim
from store.diagnoses import find_diagnosis
from store.endings import fail_run
from store.jobs import find_job
from store.queue import claim_next
from store.runs import baseline_of, runs_of_job
from store.transactions import Store
from tests.attempts import ERROR, finish_with, result_of
from worker.proving import advance_proof

FIXES = 2
HELPS = "optimizer-1"


class Hands:
    """What workers do to a job in the database, with made-up outcomes: one fix helps, the others do not."""

    def __init__(self, store: Store, job_id: str) -> None:
        self.store = store
        self.job_id = job_id
        self.rung: list[str] = []

    def claim(self, lease_seconds: float = 60.0) -> Claim | None:
        with self.store.writing() as writer:
            return claim_next(writer, worker="a-test", lease_seconds=lease_seconds)

    def claims(self) -> Iterator[Claim]:
        while (claim := self.claim()) is not None:
            yield claim

    def finish(self, claim: Claim) -> None:
        helped = claim.trial is not None and claim.trial.fix == HELPS
        fixes = FIXES if claim.trial is None else 0
        score = (0.9 if helped else 0.35) + claim.attempt / 1000 + (claim.trial.seed / 500 if claim.trial else 0)
        result = result_of(claim, score, health="healthy" if helped else "critical", fixes=fixes)
        with self.store.writing() as writer:
            finish_with(writer, claim, result)
        advance_proof(self.store, self.job_id, self.rung.append)

    def finish_baseline(self) -> None:
        claim = self.claim()
        assert claim is not None
        assert claim.trial is None
        self.finish(claim)

    def fail(self, claim: Claim) -> None:
        with self.store.writing() as writer:
            fail_run(writer, claim, ERROR)
        advance_proof(self.store, self.job_id)

    @property
    def job(self) -> Job:
        with self.store.reading() as reader:
            return find_job(reader, self.job_id)

    @property
    def trials(self) -> list[Run]:
        with self.store.reading() as reader:
            return [run for run in runs_of_job(reader, self.job_id) if run.kind == "trial"]

    @property
    def diagnosis(self) -> Diagnosis:
        with self.store.reading() as reader:
            return find_diagnosis(reader, baseline_of(reader, self.job_id).id)

    def verdicts(self) -> dict[str, str]:
        return {fix.id: fix.verdict for fix in self.diagnosis.fixes}
