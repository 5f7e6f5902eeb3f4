"""Note with a run when its history grew last.

Why: an external run that its owner gave up never ends. Only when nothing came for as long as runs are kept may it go; one that
still trains after weeks may not.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_written"
down_revision = "2026_11_21_judged"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("runs") as batch:
        batch.add_column(sa.Column("written_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("runs") as batch:
        batch.drop_column("written_at")
