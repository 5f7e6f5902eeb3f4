"""The migrations of the database, one tree for SQLite and PostgreSQL. Alembic reads `versions/`; nothing imports it."""
