"""Reading Parquet through PyArrow, an extra that is imported only here: sizes from the footer first, then column by column."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gradclinic.files.columns import as_raw, missing, place_of_target, too_many_classes
from gradclinic.files.raw import RawData
from gradclinic.files.source import Source, shown
from gradclinic.files.targets import MAX_CLASSES, Targets, targets_of_numbers, targets_of_texts

MAGIC = b"PAR1"
"""How a Parquet file begins, and ends."""

WHOLE = "a whole Parquet file"


def read_parquet(source: Source, file: BinaryIO, target: str, max_numbers: int) -> RawData:
    """Read a table from Parquet.

    Raises:
        InvalidSpec: PyArrow is not there, the file is damaged, a value is missing or is no number, or there is no such
            column.
    """
    try:
        from pyarrow import parquet  # noqa: PLC0415 - an extra
    except ImportError as error:
        expected = "a CSV file, or PyArrow beside gradclinic: pip install 'gradclinic[arrow]'"
        raise source.refusal("is Parquet, which needs PyArrow, and that is not installed.", expected) from error
    with source.decoded(WHOLE):
        opened = parquet.ParquetFile(file)
        schema, footer = opened.schema_arrow, opened.metadata
    place = place_of_target(source, schema.names, target)
    numbers = footer.num_rows * (len(schema.names) - 1)
    if numbers > max_numbers:
        raise source.refusal(f"has {numbers:,} numbers; the limit here is {max_numbers:,}.")
    unpacked = sum(footer.row_group(index).total_byte_size for index in range(footer.num_row_groups))
    if unpacked > source.max_bytes:
        raise source.refusal(f"would take {unpacked:,} bytes in memory; the limit here is {source.max_bytes:,}.")
    for index, field in enumerate(schema):
        if index != place and not _is_number(field.type):
            words = f"has {field.type} in column {shown(field.name)}."
            raise source.refusal(words, "numbers in every column but the target: leave it out, or write it as numbers")
    with source.decoded(WHOLE):
        table = opened.read(use_threads=False)
    columns = [_values(source, field.name, table.column(index)) for index, field in enumerate(schema) if index != place]
    targets = _targets(source, target, table.column(place))
    return as_raw(source, target, np.stack(columns, axis=1), targets)


def _is_number(kind: Any) -> bool:
    from pyarrow import types  # noqa: PLC0415 - an extra

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind))


def _values(source: Source, name: str, column: Any, *, key: str | None = None) -> npt.NDArray[np.float64]:
    """Return the values of a column of numbers, (rows,)."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    _refuse_gaps(source, name, column, key)
    with source.decoded(WHOLE):
        kind = pa.uint8() if pa.types.is_boolean(column.type) else pa.float64()
        values: npt.NDArray[np.float64] = column.cast(kind, safe=False).to_numpy().astype(np.float64)
    for row in np.flatnonzero(~np.isfinite(values))[:1]:
        if np.isnan(values[row]):
            raise missing(source, name, int(row) + 1, "nan", key=key)
        words = f"has {values[row]} in row {row + 1:,} of column {shown(name)}."
        raise source.refusal(words, "finite numbers", key=key)
    return values


def _targets(source: Source, name: str, column: Any) -> Targets:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    if len(column) and not pa.types.is_boolean(column.type) and _is_number(column.type):
        values = _values(source, name, column, key="target")
        return targets_of_numbers(values, are_whole=pa.types.is_integer(column.type))
    _refuse_gaps(source, name, column, "target")
    with source.decoded(WHOLE, key="target"):
        texts = column.cast(pa.string()).combine_chunks().dictionary_encode()
        codes, known = texts.indices.to_numpy().astype(np.int64), texts.dictionary.to_pylist()
    if len(known) > MAX_CLASSES:
        raise too_many_classes(source, name, known[0])
    return targets_of_texts(codes, known)


def _refuse_gaps(source: Source, name: str, column: Any, key: str | None) -> None:
    if column.null_count:
        row = next(index for index, value in enumerate(column.is_null()) if value.as_py())
        raise missing(source, name, row + 1, key=key)
