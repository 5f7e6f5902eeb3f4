"""Faults that the store finds in what was asked for: their places are in the query, not in a document."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from gradclinic.errors import InvalidSpec
from service.errors import InvalidParameter


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
