"""Create the table in which each worker says now and then that it is there.

Why: a job that waits because nobody runs a worker looks just like one that waits for its turn. With this, the service can
tell the two apart.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_workers"
down_revision = "2026_11_21_datasets"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workers"),
    )
    op.create_index("ix_workers_seen_at", "workers", ["seen_at"])


def downgrade() -> None:
    op.drop_table("workers")
