"""Fetching as much of a run's history as its pictures need. Draws nothing."""

from __future__ import annotations

from gradclinic.client import Client
from gradclinic.contract.job import Run
from gradclinic.errors import NotFound
from gradclinic.report import POINTS, SIGNALS, Overview, overview_of_document

EARLY_STEPS = 20
"""Steps that stand for the gradients of a training that soon held nothing finite."""


def baseline_of(client: Client, job_id: str) -> Run:
    """Find a job's baseline.

    Raises:
        NotFound: The job has none.
    """
    found = next((run for run in client.runs(job_id) if run.kind == "baseline"), None)
    if found is None:
        raise NotFound("baseline of the job", job_id)
    return found


def read_overview(client: Client, run_id: str) -> Overview:
    """Read the overview of a run: in stretches, so that it costs the same however long the run was."""
    document = client.history(run_id, signals=SIGNALS, points=POINTS)
    overview = overview_of_document(document)
    if overview.stretches is not None:
        stop = document["stop"]
        first, last = (client.history(run_id, signals=["loss"], start=at, stop=at + 1) for at in (0, stop - 1))
        overview = overview.ending_with(overview_of_document(first), overview_of_document(last))
    if overview.is_complete:
        return overview
    return overview.completed_by(overview_of_document(client.history(run_id, signals=SIGNALS, stop=EARLY_STEPS)))
