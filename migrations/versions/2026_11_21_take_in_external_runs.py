"""Let runs stand alone, with a name and labels, and remember which chunks of a history came from outside.

Why: a history recorded in a user's own loop belongs to no job and has no seed that we know. Its chunks are numbered by
whoever sends them, so that one that comes twice is seen to be the same.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_external"
down_revision = "2026_11_21_overviews"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("runs") as batch:
        batch.alter_column("seed", existing_type=sa.BigInteger(), nullable=True)
        batch.add_column(sa.Column("name", sa.String(length=200), nullable=True))
        batch.add_column(sa.Column("labels", sa.Text(), nullable=True))
        batch.create_index("ix_runs_created_at_id", ["created_at", "id"])
    op.create_table(
        "external_chunks",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_external_chunks_run_id_runs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "number", name="pk_external_chunks"),
    )


def downgrade() -> None:
    op.drop_table("external_chunks")
    op.execute("DELETE FROM runs WHERE kind = 'external'")
    with op.batch_alter_table("runs") as batch:
        batch.drop_index("ix_runs_created_at_id")
        batch.drop_column("labels")
        batch.drop_column("name")
        batch.alter_column("seed", existing_type=sa.BigInteger(), nullable=False)
