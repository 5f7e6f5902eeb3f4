"""What judging a stored run needs: whether it can be judged yet, and by which thresholds. Judging itself is not done here."""

from __future__ import annotations

import json

from sqlalchemy import select

from gradclinic.errors import DiagnosisNotReady, NotFound
from store.ids import is_id
from store.tables import jobs, runs
from store.transactions import Reader


def thresholds_of(reader: Reader, run_id: str) -> dict[str, float]:
    """Return the thresholds that a run is judged by, beside the documented ones: those of its job's spec, or its own."""
    joined = runs.outerjoin(jobs, jobs.c.id == runs.c.job_id)
    query = select(runs.c.thresholds, jobs.c.document).select_from(joined).where(runs.c.id == run_id)
    row = reader.connection.execute(query).one_or_none()
    if row is None:
        return {}
    if row.document is None:
        return {} if row.thresholds is None else dict(json.loads(row.thresholds))
    options = json.loads(row.document).get("diagnosis") or {}  # it was checked when it was posted
    return dict(options.get("thresholds") or {})


def refuse_unfinished(reader: Reader, run_id: str) -> None:
    """Refuse to judge a run that still trains, or whose facts are not all there yet.

    Raises:
        NotFound: There is no run with that id.
        DiagnosisNotReady: It is too early.
    """
    joined = runs.outerjoin(jobs, jobs.c.id == runs.c.job_id)
    query = select(runs.c.status, runs.c.kind, jobs.c.status.label("job_status")).select_from(joined)
    row = reader.connection.execute(query.where(runs.c.id == run_id)).one_or_none() if is_id(run_id) else None
    if row is None:
        raise NotFound("run", run_id)
    live = ("queued", "training")
    if row.status in live or (row.kind == "baseline" and row.job_status in live):
        raise DiagnosisNotReady(
            f"Run {run_id} is not trained yet, so that nothing can be judged; ask again in a second."
        )
