"""Keep packed payloads as they are in PostgreSQL.

Why: the chunks and overviews of histories are compressed already. To try that once more, as PostgreSQL does by default with
what is longer than a page, took 15 to 20 % of the time of writing them.
"""

from alembic import op

revision = "2026_11_21_packed"
down_revision = "2026_11_21_written"
branch_labels = None
depends_on = None

TABLES = ("history_chunks", "history_overviews")


def upgrade() -> None:
    _store_payloads("EXTERNAL")


def downgrade() -> None:
    _store_payloads("EXTENDED")


def _store_payloads(how: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN payload SET STORAGE {how}")
