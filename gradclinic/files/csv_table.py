"""Reading CSV: a header, then rows of numbers with a target among them. Memory grows with the numbers alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from gradclinic.files.columns import as_raw, missing, place_of_target
from gradclinic.files.csv_target import MISSING, CsvTarget
from gradclinic.files.raw import RawData
from gradclinic.files.source import Source, shown

SEPARATORS = ",;\t"
"""The one that the header has most of is the file's; a comma where it has none."""

MAX_LINE = 4 << 20
"""Characters of a line, enough for some hundred thousand columns. A file without line ends is no table."""

CELLS_AT_ONCE = 100_000


def read_csv(source: Source, file: BinaryIO, target: str, max_numbers: int) -> RawData:
    """Read a table from CSV text.

    Raises:
        InvalidSpec: It is not CSV, a value is missing or is no number, or there is no such column.
    """
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        return _read_rows(source, _rows_of(source, text), target, max_numbers)


def _read_rows(source: Source, rows: Iterator[list[str]], target: str, max_numbers: int) -> RawData:
    header = [name.strip() for name in next(rows, [])]
    if header and all(_is_number(name) for name in header):
        raise source.refusal("begins with numbers: it has no header.", "the names of the columns in the first line")
    place = place_of_target(source, header, target)
    names = header[:place] + header[place + 1 :]
    blocks, count, targets = [np.empty((0, len(names)))], 0, CsvTarget(source, target)
    for batch in _batched(source, rows, len(header)):
        targets.add([row.pop(place) for row in batch])
        blocks.append(_numbers(source, names, batch, count))
        count += len(batch)
        if count * len(names) > max_numbers:
            raise source.refusal(f"has more than {max_numbers:,} numbers, which is the limit here.")
    return as_raw(source, target, np.concatenate(blocks), targets.finish())


def _rows_of(source: Source, text: io.TextIOWrapper) -> Iterator[list[str]]:
    try:
        lines = _lines_of(source, text)
        first = next((line for line in lines if line.strip()), "")
        separator = max(SEPARATORS, key=first.count)
        # A line break within quotes is read as one; a quote that never ends is an error, for the file was cut there.
        for row in csv.reader(chain([first], lines), delimiter=separator, strict=True):
            if row:
                yield row
    except csv.Error as error:
        raise source.refusal(f"is not CSV, or cut off: {error}.", "a whole CSV file") from error
    except UnicodeDecodeError as error:
        raise source.refusal(f"is not text in UTF-8: {error.reason}.", "a CSV file in UTF-8") from error


def _lines_of(source: Source, text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise source.refusal(f"has a line of {MAX_LINE:,} characters or more: it is no CSV.", "a CSV file")
        yield line


def _batched(source: Source, rows: Iterator[list[str]], width: int) -> Iterator[list[list[str]]]:
    """Yield rows, many at a time, each as wide as the header."""
    batch: list[list[str]] = []
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            words = f"has {len(row)} values in row {number:,} and {width} names in its header."
            hint = " The file may have been cut off there." if len(row) < width else ""
            raise source.refusal(words + hint, f"{width} values in every row")
        batch.append(row)
        if len(batch) * width >= CELLS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _numbers(source: Source, names: list[str], rows: list[list[str]], before: int) -> npt.NDArray[np.float64]:
    """Read cells as numbers (rows, columns). `before` is the number of rows that came before these."""
    try:
        block = np.array(rows, dtype=np.float64)
    except ValueError:
        block = np.array([[_number(cell) for cell in row] for row in rows])
    for row, column in np.argwhere(~np.isfinite(block)):
        raise _no_number(source, names[column], int(row) + before + 1, rows[row][column])
    return block


def _no_number(source: Source, column: str, row: int, cell: str) -> Exception:
    if cell.strip().lower() in MISSING:
        return missing(source, column, row, cell)
    if _is_number(cell):
        return source.refusal(f"has {shown(cell)} in row {row:,} of column {shown(column)}.", "finite numbers")
    words = f"has the text {shown(cell)} in row {row:,} of column {shown(column)}."
    return source.refusal(words, "numbers in every column but the target: leave it out, or write it as numbers")


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
