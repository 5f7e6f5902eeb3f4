"""Diagnoses: one a run, kept as the contract's own JSON. Judging is `gradclinic.diagnosis`'s business."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.errors import DiagnosisNotReady, NoDiagnosis, NotFound
from store.claim import Claim, write_fenced
from store.ids import is_id
from store.stored import read_stored
from store.tables import diagnoses, jobs, runs
from store.transactions import Reader, Writer


def save_diagnosis(writer: Writer, claim: Claim, diagnosis: Diagnosis) -> None:
    """Keep the diagnosis of the claim's run, in place of one from before.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    write_fenced(writer, claim, health=diagnosis.health, version=jobs.c.version + 1)
    write_diagnosis(writer, claim.run_id, diagnosis)


def write_diagnosis(writer: Writer, run_id: str, diagnosis: Diagnosis) -> None:
    """Keep the diagnosis of a run that the caller holds, in place of one from before."""
    writer.connection.execute(delete(diagnoses).where(diagnoses.c.run_id == run_id))
    writer.connection.execute(
        insert(diagnoses).values(run_id=run_id, created_at=writer.now(), document=diagnosis.model_dump_json())
    )


def find_diagnosis(reader: Reader, run_id: str) -> Diagnosis:
    """Return the diagnosis of a run. A baseline's shows the verdicts on its fixes as far as they are known.

    Raises:
        NotFound: There is no run with that id.
        DiagnosisNotReady: The run is not trained and diagnosed yet.
        NoDiagnosis: It ended without one.
    """
    columns = (runs.c.status, runs.c.job_id, diagnoses.c.document)
    joined = runs.outerjoin(diagnoses, diagnoses.c.run_id == runs.c.id)
    query = select(*columns).select_from(joined).where(runs.c.id == run_id)
    row = reader.connection.execute(query).one_or_none() if is_id(run_id) else None
    if row is None:
        raise NotFound("run", run_id)
    if row.document is not None:
        return read_stored(Diagnosis, row.document)
    if row.status in ("queued", "training"):
        raise DiagnosisNotReady(f"Run {run_id} is not trained and diagnosed yet; ask again in a second.")
    if row.job_id is None:
        raise NoDiagnosis(f"Run {run_id} ended as {row.status}, and nothing of it was recorded that could be judged.")
    raise NoDiagnosis(
        f"Run {run_id} ended as {row.status}, without a diagnosis. Its `error`, if it has one, tells why."
    )
