"""The tables, for both databases. What is asked of them stands in the repositories, their making in `migrations/`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite keeps no time zone, so that it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Turn a moment into UTC; one without a time zone is refused, for nobody knows when it was."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone.")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Read a moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _id(name: str, *args: Any, **options: Any) -> Column[str]:
    return Column(name, String(36), *args, **options)


sweeps = Table(
    "sweeps",
    metadata,
    _id("id", primary_key=True),
    Column("name", String(200)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("document", Text, nullable=False),
    Index(None, "created_at", "id"),
)

jobs = Table(
    "jobs",
    metadata,
    _id("id", primary_key=True),
    Column("name", String(200)),
    Column("status", String(16), nullable=False),
    Column("health", String(16)),
    Column("step", Integer, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("trials", Integer, nullable=False),
    Column("trials_planned", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("cancel_requested", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("error", Text),
    Column("early_findings", Text),  # certain while the baseline trains
    Column("document", Text, nullable=False),
    # No cascade: of a sweep's jobs only ended ones may go.
    _id("sweep_id", ForeignKey("sweeps.id")),
    Column("sweep_number", Integer),  # which combination of the sweep's values
    Index(None, "created_at", "id"),
    Index(None, "status", "created_at"),
    Index(None, "sweep_id", "sweep_number"),
    Index(None, "name"),
)

labels = Table(
    "labels",
    metadata,
    _id("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("value", String(256), nullable=False),
    Index(None, "key", "value"),
)

runs = Table(
    "runs",
    metadata,
    _id("id", primary_key=True),
    _id("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), index=True),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("health", String(16)),
    Column("seed", BigInteger),  # of an external run nobody told
    Column("steps_done", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("written_at", UtcDateTime),  # when its history grew last
    Column("finished_at", UtcDateTime),
    Column("outcome", Text),
    Column("facts", Text),
    Column("name", String(200)),  # of an external run; the others bear their job's
    Column("labels", Text),  # likewise, as JSON
    Column("thresholds", Text),  # likewise; those of the others stand in their job's spec
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("losses", Integer, nullable=False, server_default="0"),  # lost workers; an attempt handed back is none
    Column("worker", String(200)),
    Column("lease_until", UtcDateTime, index=True),
    Column("announced_at", UtcDateTime),
    Column("error", Text),
    Column("round", Integer),  # of a trial
    Column("fix_id", Text),  # likewise; null for the spec as posted
    Column("document", Text),  # likewise, the JSON Patch of the job's, or (older) what it trains; null for the job's
    Column("result", Text),  # what verdicts need of it
    Index(None, "created_at", "id"),
    Index(None, "status", "created_at"),
)

history_chunks = Table(
    "history_chunks",
    metadata,
    _id("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("signal", String(100), primary_key=True),
    Column("first_step", Integer, primary_key=True, autoincrement=False),
    Column("last_step", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)

history_overviews = Table(
    "history_overviews",
    metadata,
    _id("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("signal", String(100), primary_key=True),
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("first_step", Integer, primary_key=True, autoincrement=False),
    Column("last_step", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)

external_chunks = Table(
    "external_chunks",
    metadata,
    _id("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("sha256", String(64), nullable=False),
    Column("numbers", BigInteger, nullable=False, server_default="0"),  # recorded in it
)

diagnoses = Table(
    "diagnoses",
    metadata,
    _id("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("document", Text, nullable=False),
)

fix_verdicts = Table(
    "fix_verdicts",
    metadata,
    _id("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("fix_id", String(200), primary_key=True),
    Column("rule", String(64), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("effect", Float),  # difference of the outcome, patched over unchanged spec
    Index(None, "kind", "rule", "effect"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(128), nullable=False),
    Column("created_at", UtcDateTime, nullable=False, index=True),
    Column("answer", Text, nullable=False),
)


def _uploads(name: str) -> Table:
    return Table(
        name,
        metadata,
        _id("id", primary_key=True),
        Column("name", String(200)),
        Column("kind", String(16), nullable=False),
        Column("size", BigInteger, nullable=False),
        Column("sha256", String(64), nullable=False),
        Column("created_at", UtcDateTime, nullable=False),
        Index(None, "created_at", "id"),
    )


def _upload_chunks(sort: str) -> Table:
    return Table(
        f"{sort}_chunks",
        metadata,
        _id(f"{sort}_id", ForeignKey(f"{sort}s.id", ondelete="CASCADE"), primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("payload", LargeBinary, nullable=False),
    )


datasets = _uploads("datasets")
dataset_chunks = _upload_chunks("dataset")

artifacts = _uploads("artifacts")
artifact_chunks = _upload_chunks("artifact")

workers = Table(
    "workers",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("seen_at", UtcDateTime, nullable=False, index=True),
)
