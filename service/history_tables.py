"""A history as a table, one row a step, streamed: CSV for spreadsheets, Arrow for programs.

With `points` a row is a bucket, and each column becomes three: `<name>/min`, `<name>/max` and `<name>/mean`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from gradclinic.history import RunFacts, column_name
from gradclinic.history.arrow import END_OF_STREAM, POINTS, STEP, array_of, batch_of, schema_of
from gradclinic.history.overview import Overview
from gradclinic.history.rows import Columns, Rows, Steps
from service.number_text import shortened, write_numbers, write_table

BUCKET_PARTS = ("min", "max", "mean")

ROWS_AT_ONCE = 256
"""Rows of an overview that become text at once."""


def write_csv(columns: Columns, rows: Iterable[Rows]) -> Iterator[bytes]:
    """Write rows as CSV (RFC 4180). What was not recorded is empty; NaN, Infinity and -Infinity are words."""
    yield _header(columns.names)
    for part in rows:
        yield _lines(part)


def write_csv_overviews(overviews: Sequence[Overview], starts: Steps) -> Iterator[bytes]:
    """Write overviews as CSV, a row a bucket."""
    yield _header(_bucket_names(overviews))
    for first in range(0, len(starts), ROWS_AT_ONCE):
        some = slice(first, first + ROWS_AT_ONCE)
        yield _lines(_side_by_side(overviews, starts, some))


def write_arrow(columns: Columns, rows: Iterable[Rows], facts: RunFacts) -> Iterator[memoryview]:
    """Write rows as an Arrow IPC stream, which `History.from_arrow` reads."""
    schema = schema_of(columns, facts=facts)
    return _arrow_stream(schema, (batch_of(part, columns, schema) for part in rows))


def write_arrow_overviews(overviews: Sequence[Overview], starts: Steps) -> Iterator[memoryview]:
    """Write overviews as an Arrow IPC stream, a row a bucket."""
    arrays = [array_of(starts)]
    for overview in overviews:
        recorded = overview.counts > 0
        mask = None if recorded.all() else recorded
        lowest, highest, mean = (np.ascontiguousarray(_part(overview, part).T) for part in BUCKET_PARTS)
        for triple in zip(lowest, highest, mean, strict=True):
            arrays.extend(array_of(values, mask) for values in triple)
    fields = [pa.field(STEP, pa.int64(), nullable=False)]
    fields += [pa.field(name, array.type) for name, array in zip(_bucket_names(overviews), arrays[1:], strict=True)]
    schema = pa.schema(fields, {POINTS: str(len(starts)).encode()})
    return _arrow_stream(schema, [pa.RecordBatch.from_arrays(arrays, schema=schema)])


def _header(names: Iterable[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow([STEP, *names])
    return text.getvalue().encode()


def _lines(rows: Rows) -> bytes:
    """Write each row on a line of its own."""
    values = np.ascontiguousarray(rows.values)
    if not values.shape[1]:
        return b"".join(b"%d\r\n" % step for step in rows.steps.tolist())
    short = shortened(values)
    if short.dtype == np.float32:
        written = write_table(short, rows.recorded)
    else:  # row by row: most of them have the digits of float32
        written = [write_numbers(shortened(row), recorded) for row, recorded in zip(values, rows.recorded, strict=True)]
    return b"".join(b"%d,%b\r\n" % line for line in zip(rows.steps.tolist(), written, strict=True))


def _side_by_side(overviews: Sequence[Overview], starts: Steps, some: slice) -> Rows:
    columns: list[Any] = []
    recorded: list[Any] = []
    for overview in overviews:
        triples = np.stack([_part(overview, part)[some] for part in BUCKET_PARTS], axis=2)  # (rows, subjects, 3)
        columns.append(triples.reshape(len(triples), -1).astype(np.float64))
        recorded.append(np.broadcast_to((overview.counts[some] > 0)[:, None], columns[-1].shape))
    rows = len(starts[some])
    return Rows(
        starts[some],
        np.concatenate(columns, axis=1) if columns else np.empty((rows, 0)),
        np.concatenate(recorded, axis=1) if recorded else np.empty((rows, 0), np.bool_),
    )


def _bucket_names(overviews: Sequence[Overview]) -> list[str]:
    return [
        f"{column_name(subject, overview.signal)}/{part}"
        for overview in overviews
        for subject in overview.subjects
        for part in BUCKET_PARTS
    ]


def _part(overview: Overview, part: str) -> Any:
    return {"min": overview.minimum, "max": overview.maximum, "mean": overview.mean}[part]


def _arrow_stream(schema: Any, batches: Iterable[Any]) -> Iterator[memoryview]:
    """Write the messages of an IPC stream one by one, each in the one piece that Arrow makes of it."""
    yield memoryview(schema.serialize())
    for batch in batches:
        yield memoryview(batch.serialize())
    yield memoryview(END_OF_STREAM)
