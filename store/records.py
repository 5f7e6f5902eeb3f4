"""What was measured of fixes over all stored jobs: a row for each finding that a tried fix addresses, kept when its job ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import case, func, insert, select

from gradclinic.contract.catalogue import FixInfo, FixRecord
from gradclinic.contract.diagnosis import Diagnosis, Fix, FixKind, RuleId
from store.tables import fix_verdicts
from store.transactions import Reader, Writer

_SETTLED = frozenset({"verified", "no_effect", "harmful"})

Records = Mapping[tuple[FixKind, RuleId], FixRecord]
"""What was measured, by kind of fix and finding."""


def keep_verdicts(writer: Writer, job_id: str, diagnosis: Diagnosis) -> None:
    """Keep the verdicts of a job that ends. They go with the job.

    Nothing is kept of what was left open: a fix that helped where it was tried, and was left aside for a simpler one, has shown
    nothing against itself. Of a chain nothing is kept: it is of several kinds, and its links that were tried alone speak for themselves.
    """
    tried = [fix for fix in diagnosis.fixes if fix.verdict in _SETTLED and not fix.chain]
    rows = [
        {
            "job_id": job_id,
            "fix_id": fix.id,
            "rule": rule,
            "kind": fix.kind,
            "verdict": fix.verdict,
            "effect": _difference(fix),
        }
        for fix in tried
        for rule in dict.fromkeys(fix.addresses)
    ]
    if rows:
        writer.connection.execute(insert(fix_verdicts), rows)


def read_records(reader: Reader) -> Records:
    """Return what was measured of each kind of fix for each finding."""
    medians = _medians(reader)
    columns = fix_verdicts.c
    counts = (
        func.count().label("tries"),
        func.sum(case((columns.verdict == "verified", 1), else_=0)).label("helped"),
        func.sum(case((columns.verdict == "harmful", 1), else_=0)).label("harmed"),
    )
    query = select(columns.kind, columns.rule, *counts).group_by(columns.kind, columns.rule)
    return {
        (row.kind, row.rule): FixRecord(
            rule=row.rule,
            tries=row.tries,
            helped=row.helped,
            harmed=row.harmed,
            median_effect=medians.get((row.kind, row.rule)),
        )
        for row in reader.connection.execute(query)
    }


def with_records(info: FixInfo, records: Records) -> FixInfo:
    """Return a kind of fix with what was measured of it, by finding."""
    measured = [record for (kind, _), record in sorted(records.items()) if kind == info.kind]
    return info.model_copy(update={"measured": measured})


def _medians(reader: Reader) -> dict[tuple[Any, Any], float]:
    """Return the median effect of each kind for each finding: the mean of the two in the middle where there is no one."""
    columns = fix_verdicts.c
    group = (columns.kind, columns.rule)
    place = func.row_number().over(partition_by=group, order_by=columns.effect).label("place")
    size = func.count().over(partition_by=group).label("size")
    ranked = select(*group, columns.effect, place, size).where(columns.effect.is_not(None)).subquery()
    middle = (2 * ranked.c.place >= ranked.c.size, 2 * ranked.c.place <= ranked.c.size + 2)
    query = select(ranked.c.kind, ranked.c.rule, func.avg(ranked.c.effect)).where(*middle)
    found = reader.connection.execute(query.group_by(ranked.c.kind, ranked.c.rule))
    return {(kind, rule): float(effect) for kind, rule, effect in found}


def _difference(fix: Fix) -> float | None:
    effect = fix.effect
    if effect is None or effect.fixed is None or effect.baseline is None:
        return None
    return effect.fixed - effect.baseline
