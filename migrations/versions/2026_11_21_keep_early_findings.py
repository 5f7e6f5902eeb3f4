"""Keep with a job what is certain of it while it trains.

Why: whoever watches a hopeless training wants to know at once, not at its end; and the workers and the service share nothing
but the database.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_early"
down_revision = "2026_11_21_queue_of_runs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("jobs") as batch:
        batch.add_column(sa.Column("early_findings", sa.Text(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("jobs") as batch:
        batch.drop_column("early_findings")
