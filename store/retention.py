"""Retention: what ended, or was given up, longer ago than it is to be kept is deleted, a few at a time.

Live jobs stay whatever their age. A sweep's jobs stay until all of them may go: its table would have gaps.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Select, delete, exists, func, or_, select

from gradclinic.contract.job import LIVE
from store.tables import jobs, runs, sweeps
from store.transactions import Writer

PORTION = 5
"""What one transaction deletes at most: a long run has hundreds of megabytes, and SQLite's other writers wait."""


def delete_expired(writer: Writer, *, days: float, limit: int = PORTION) -> int:
    """Delete at most `limit` of what has ended more than `days` ago, with all that belongs to it; return how many.

    Those are jobs, external runs, and sweeps that have no job left.
    """
    before = writer.now() - timedelta(days=days)
    deleted = 0
    for table, expired in ((jobs, _jobs(before)), (runs, _external_runs(before)), (sweeps, _sweeps(before))):
        chosen = expired.limit(limit - deleted).with_for_update(skip_locked=True)
        ids = list(writer.connection.execute(chosen).scalars()) if deleted < limit else []
        if ids:
            writer.connection.execute(delete(table).where(table.c.id.in_(ids)))
        deleted += len(ids)
    return deleted


def _jobs(before: datetime) -> Select[str]:
    sibling = jobs.alias("sibling")
    stays = or_(sibling.c.status.in_(LIVE), sibling.c.finished_at.is_(None), sibling.c.finished_at >= before)
    kept_together = exists().where(sibling.c.sweep_id == jobs.c.sweep_id, stays).correlate(jobs)
    ended = (jobs.c.status.not_in(LIVE), jobs.c.finished_at < before)
    return select(jobs.c.id).where(*ended, ~kept_together).order_by(jobs.c.created_at, jobs.c.id)


def _external_runs(before: datetime) -> Select[str]:
    # One that never ended was given up when nothing came for as long; one that still trains is written to.
    last = func.coalesce(runs.c.finished_at, runs.c.written_at, runs.c.created_at)
    return select(runs.c.id).where(runs.c.kind == "external", last < before).order_by(runs.c.created_at, runs.c.id)


def _sweeps(before: datetime) -> Select[str]:
    empty = ~exists().where(jobs.c.sweep_id == sweeps.c.id).correlate(sweeps)
    return select(sweeps.c.id).where(sweeps.c.created_at < before, empty).order_by(sweeps.c.created_at, sweeps.c.id)
