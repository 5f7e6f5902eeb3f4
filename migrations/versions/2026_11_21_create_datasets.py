"""Create data sets and their chunks.

Why: uploads live in the database, so that any host reaches them without sharing a folder; in rows of a mebibyte, so that
none is ever whole in memory.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_datasets"
down_revision = "2026_11_21_sweeps"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
    )
    op.create_index("ix_datasets_created_at_id", "datasets", ["created_at", "id"])
    op.create_table(
        "dataset_chunks",
        sa.Column("dataset_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name="fk_dataset_chunks_dataset_id_datasets", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dataset_id", "number", name="pk_dataset_chunks"),
    )


def downgrade() -> None:
    op.drop_table("dataset_chunks")
    op.drop_table("datasets")
