"""Create the pyramid of minimum, maximum and mean beside the chunks of a history.

Why: an overview of a run shall cost the same however long the run was; without this it reads every chunk.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_overviews"
down_revision = "2026_11_21_artifacts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "history_overviews",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("signal", sa.String(length=100), nullable=False),
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first_step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last_step", sa.Integer(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_history_overviews_run_id_runs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "signal", "level", "first_step", name="pk_history_overviews"),
    )


def downgrade() -> None:
    op.drop_table("history_overviews")
