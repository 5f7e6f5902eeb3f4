"""Create sweeps, and let jobs belong to one.

Why: a sweep posts one job a combination of values under one id. The job keeps the number of its combination, so that the
values follow from the sweep as posted and stand nowhere else.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_sweeps"
down_revision = "2026_11_21_first_tables"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sweeps",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sweeps"),
    )
    op.create_index("ix_sweeps_created_at_id", "sweeps", ["created_at", "id"])
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("sweep_id", sa.String(length=36), nullable=True))
        jobs.add_column(sa.Column("sweep_number", sa.Integer(), nullable=True))
        jobs.create_foreign_key("fk_jobs_sweep_id_sweeps", "sweeps", ["sweep_id"], ["id"])
        jobs.create_index("ix_jobs_sweep_id_sweep_number", ["sweep_id", "sweep_number"])


def downgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_index("ix_jobs_sweep_id_sweep_number")
        jobs.drop_constraint("fk_jobs_sweep_id_sweeps", type_="foreignkey")
        jobs.drop_column("sweep_number")
        jobs.drop_column("sweep_id")
    op.drop_table("sweeps")
