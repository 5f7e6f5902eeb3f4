"""Pages of a list, newest first: which rows are on one, and where the next begins. What a row means is its repository's business."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Table, and_, or_, select

from store.cursor import decode_cursor, encode_cursor
from store.transactions import Reader


def rows_of_page(
    reader: Reader,
    table: Table,
    *conditions: ColumnElement[bool],
    cursor: str | None,
    limit: int,
    query: Select[Any] | None = None,
) -> tuple[Sequence[Row[Any]], str | None]:
    """Return the rows of a page, and the cursor of the next if there is one.

    `query` selects something else than all of the table's columns; `created_at` and `id` have to be among it. Rows added
    while someone turns the pages neither shift nor repeat any.

    Raises:
        InvalidSpec: The cursor is none of ours.
    """
    created_at, row_id = table.c.created_at, table.c.id
    query = (select(table) if query is None else query).where(*conditions)
    query = query.order_by(created_at.desc(), row_id.desc())
    if cursor is not None:
        before, before_id = decode_cursor(cursor)
        query = query.where(or_(created_at < before, and_(created_at == before, row_id < before_id)))
    rows = reader.connection.execute(query.limit(limit + 1)).all()
    page = rows[:limit]
    return page, encode_cursor(page[-1].created_at, page[-1].id) if len(rows) > limit and page else None
