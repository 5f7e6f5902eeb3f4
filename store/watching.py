"""Looking at many jobs at once, and at no more of them than what changes while somebody watches."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select

from gradclinic.contract.diagnosis import Health
from gradclinic.contract.job import EarlyFinding, JobError, JobStatus, Progress
from gradclinic.errors import DiagnosisNotReady, NoDiagnosis, NotFound
from store.diagnoses import find_diagnosis
from store.early import early_findings_from
from store.runs import baseline_of
from store.stored import read_stored
from store.tables import jobs, runs
from store.transactions import Reader


@dataclass(frozen=True)
class Glimpse:
    """What a job is at a moment."""

    version: int
    attempt: int
    status: JobStatus
    health: Health | None
    progress: Progress
    error: JobError | None


def glimpse_jobs(reader: Reader, job_ids: Collection[str]) -> dict[str, Glimpse]:
    """Look at jobs, without their specs, which may be large; one that is gone is left out."""
    columns = [column for column in jobs.c if column is not jobs.c.document]
    query = (
        select(*columns, runs.c.attempt)
        .join(runs, (runs.c.job_id == jobs.c.id) & (runs.c.kind == "baseline"))
        .where(jobs.c.id.in_(job_ids))
    )
    return {
        row.id: Glimpse(
            version=row.version,
            attempt=row.attempt,
            status=row.status,
            health=row.health,
            progress=Progress(
                step=row.step,
                steps=row.steps,
                trials=row.trials,
                trials_planned=row.trials_planned,
                findings=early_findings_from(row.early_findings),
            ),
            error=None if row.error is None else read_stored(JobError, row.error),
        )
        for row in reader.connection.execute(query)
    }


def findings_at_end(reader: Reader, job_id: str) -> list[EarlyFinding]:
    """Return what the baseline's diagnosis found, in the form of what is told early; nothing where there is none."""
    try:
        diagnosis = find_diagnosis(reader, baseline_of(reader, job_id).id)
    except (DiagnosisNotReady, NoDiagnosis, NotFound):
        return []
    done = diagnosis.outcome.steps if diagnosis.outcome is not None else 0
    return [
        EarlyFinding(rule=finding.rule, severity=finding.severity, step=done, summary=finding.summary)
        for finding in diagnosis.findings
    ]
