"""Let runs be what is queued, claimed and leased, trials among them, and keep verdicts on fixes where they can be counted.

Why: the proof of a job's fixes is many trainings, which all workers share. So each run has its own attempt and lease, and a
job that is verified is held by nobody. What was measured of each kind of fix is read whenever fixes are ranked; out of the
diagnoses' documents that would take longer with every job.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_queue_of_runs"
down_revision = "2026_11_21_packed"
branch_labels = None
depends_on = None

HOLDING = ("attempt", "losses", "worker", "lease_until", "announced_at")


def upgrade() -> None:
    with op.batch_alter_table("runs") as runs:
        runs.add_column(sa.Column("attempt", sa.Integer(), nullable=False, server_default="0"))
        runs.add_column(sa.Column("losses", sa.Integer(), nullable=False, server_default="0"))
        runs.add_column(sa.Column("worker", sa.String(length=200), nullable=True))
        runs.add_column(sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True))
        runs.add_column(sa.Column("announced_at", sa.DateTime(timezone=True), nullable=True))
        runs.add_column(sa.Column("error", sa.Text(), nullable=True))
        runs.add_column(sa.Column("round", sa.Integer(), nullable=True))
        runs.add_column(sa.Column("fix_id", sa.Text(), nullable=True))
        runs.add_column(sa.Column("document", sa.Text(), nullable=True))
        runs.add_column(sa.Column("result", sa.Text(), nullable=True))
        runs.create_index("ix_runs_status_created_at", ["status", "created_at"])
        runs.create_index("ix_runs_lease_until", ["lease_until"])
    for name in (*HOLDING, "error"):
        of_job = f"(SELECT jobs.{name} FROM jobs WHERE jobs.id = runs.job_id)"  # noqa: S608 - our own names
        op.execute(f"UPDATE runs SET {name} = {of_job} WHERE kind = 'baseline'")  # noqa: S608 - likewise
    with op.batch_alter_table("jobs") as jobs:
        for name in HOLDING:
            jobs.drop_column(name)
    create_fix_verdicts()


def create_fix_verdicts() -> None:
    """Create what is counted of fixes that were tried."""
    op.create_table(
        "fix_verdicts",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("fix_id", sa.String(length=200), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("effect", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_fix_verdicts_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "fix_id", "rule", name="pk_fix_verdicts"),
    )
    op.create_index("ix_fix_verdicts_kind_rule_effect", "fix_verdicts", ["kind", "rule", "effect"])


def downgrade() -> None:
    op.drop_table("fix_verdicts")
    op.execute("DELETE FROM runs WHERE kind = 'trial'")
    # Diagnosed they are; what would go on with the proof is gone.
    op.execute("UPDATE jobs SET status = 'succeeded', finished_at = CURRENT_TIMESTAMP WHERE status = 'verifying'")
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("attempt", sa.Integer(), nullable=False, server_default="0"))
        jobs.add_column(sa.Column("losses", sa.Integer(), nullable=False, server_default="0"))
        jobs.add_column(sa.Column("worker", sa.String(length=200), nullable=True))
        jobs.add_column(sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True))
        jobs.add_column(sa.Column("announced_at", sa.DateTime(timezone=True), nullable=True))
    for name in HOLDING:
        of_run = f"(SELECT runs.{name} FROM runs WHERE runs.job_id = jobs.id AND runs.kind = 'baseline')"  # noqa: S608 - likewise
        op.execute(f"UPDATE jobs SET {name} = {of_run}")  # noqa: S608 - likewise
    with op.batch_alter_table("runs") as runs:
        runs.drop_index("ix_runs_lease_until")
        runs.drop_index("ix_runs_status_created_at")
        for name in (*HOLDING, "error", "round", "fix_id", "document", "result"):
            runs.drop_column(name)
