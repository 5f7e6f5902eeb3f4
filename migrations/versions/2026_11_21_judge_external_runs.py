"""Keep with an external run how it is to be judged, and count the numbers in each of its chunks.

Why: its thresholds come when it is begun and are needed when it ends, and a job's spec, where others stand, it has not. The
counts bound how much one run may store, without looking at what it stored.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_judged"
down_revision = "2026_11_21_external"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("runs") as batch:
        batch.add_column(sa.Column("thresholds", sa.Text(), nullable=True))
    with op.batch_alter_table("external_chunks") as batch:
        batch.add_column(sa.Column("numbers", sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("external_chunks") as batch:
        batch.drop_column("numbers")
    with op.batch_alter_table("runs") as batch:
        batch.drop_column("thresholds")
