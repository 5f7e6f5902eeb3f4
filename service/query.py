"""What every list and every upload take in their queries, and faults that the store finds there: their places are not in a document."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from gradclinic.errors import InvalidSpec
from service.errors import InvalidParameter

UploadName = Annotated[str | None, Query(max_length=200, description="What to call it, such as `people.csv`.")]


class Paging(BaseModel):
    """Which page of a list, and how much at once."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=200, description="Items a page.")
    cursor: str | None = Field(None, max_length=500, description="`next_cursor` of the page before.")


@contextmanager
def in_query() -> Iterator[None]:
    """Name the places of faults by the query that they came from.

    Raises:
        InvalidParameter: Instead of `InvalidSpec`.
    """
    try:
        yield
    except InvalidSpec as error:
        raise InvalidParameter([replace(fault, pointer=f"/query{fault.pointer}") for fault in error.faults]) from None
