"""Reading Parquet through PyArrow, an extra that is imported only here: sizes from the footer first, then group by group."""

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

MAX_TEXT_BYTES = 16 << 20
"""Bytes of the different texts of the target: 10,000 classes of 1,600 letters each."""

TEXT_BYTES_A_ROW = 64
"""Bytes of the target's texts a row beyond that, where the file writes each of them out."""

NUMBER_BYTES = 32
"""Bytes of the widest numbers that a file may have."""


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
    _check_kinds(source, schema, place)
    _check_sizes(source, footer, target, _is_text(schema.field(place).type), max_numbers)
    if _is_text(schema.field(place).type):
        # The same text in every row is kept once in the file, and has to be in memory, too.
        with source.decoded(WHOLE):
            opened = parquet.ParquetFile(file, read_dictionary=[target], metadata=footer)
    names = schema.names
    features = np.empty((max(0, footer.num_rows), len(names) - 1))
    targets = _Targets(source, target, schema.field(place).type)
    first = 0
    for index in range(footer.num_row_groups):
        with source.decoded(WHOLE):
            group = opened.read_row_group(index, use_threads=False)
        rows = features[first : first + len(group)]
        if len(rows) != len(group):
            raise source.refusal("is damaged: it has more rows than it says.", WHOLE)
        for column in range(len(names)):
            if column == place:
                targets.add(group.column(column), first)
            else:
                rows[:, column - (column > place)] = _values(source, names[column], group.column(column), first)
        first += len(group)
    return as_raw(source, target, features[:first], targets.finish())


def _check_kinds(source: Source, schema: Any, place: int) -> None:
    from pyarrow import types  # noqa: PLC0415 - an extra

    for index, field in enumerate(schema):
        words = f"has {field.type} in column {shown(field.name)}."
        if index != place and not _is_number(field.type):
            raise source.refusal(words, "numbers in every column but the target: leave it out, or write it as numbers")
        if index == place and types.is_nested(field.type):
            raise source.refusal(words, "numbers or texts, one a row", key="target")


def _check_sizes(source: Source, footer: Any, target: str, is_text: bool, max_numbers: int) -> None:
    numbers = footer.num_rows * (footer.num_columns - 1)
    if numbers > max_numbers:
        raise source.refusal(f"has {numbers:,} numbers; the limit here is {max_numbers:,}.")
    # PyArrow ends the whole process where a damaged footer is asked for a column's size; a group's is safe.
    unpacked = sum(footer.row_group(index).total_byte_size for index in range(footer.num_row_groups))
    if unpacked > source.max_bytes:
        raise source.refusal(f"would take {unpacked:,} bytes in memory; the limit here is {source.max_bytes:,}.")
    text_bytes = unpacked - NUMBER_BYTES * numbers
    if is_text and text_bytes > MAX_TEXT_BYTES + TEXT_BYTES_A_ROW * footer.num_rows:
        raise _too_long(source, target, text_bytes)


def _too_long(source: Source, target: str, size: int) -> Exception:
    words = f"has about {size:,} bytes of text in column {shown(target)}, which are no names of classes."
    return source.refusal(words, "short texts, or numbers", key="target")


def _is_number(kind: Any) -> bool:
    from pyarrow import types  # noqa: PLC0415 - an extra

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind))


def _is_text(kind: Any) -> bool:
    """Tell whether the file has texts or bytes there: what PyArrow can leave as a dictionary."""
    from pyarrow import types  # noqa: PLC0415 - an extra

    kind = kind.value_type if types.is_dictionary(kind) else kind
    texts = (types.is_string, types.is_large_string, types.is_string_view)
    return any(is_kind(kind) for is_kind in (*texts, types.is_binary, types.is_large_binary, types.is_binary_view))


def _values(source: Source, name: str, column: Any, before: int, *, key: str | None = None) -> npt.NDArray[np.float64]:
    """Return the values of a column of numbers, (rows,). `before` is the number of rows that came before these."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    _refuse_gaps(source, name, column, before, key)
    with source.decoded(WHOLE):
        kind = pa.uint8() if pa.types.is_boolean(column.type) else pa.float64()
        values: npt.NDArray[np.float64] = column.cast(kind, safe=False).to_numpy().astype(np.float64)
    for row in np.flatnonzero(~np.isfinite(values))[:1]:
        number = before + int(row) + 1
        if np.isnan(values[row]):
            raise missing(source, name, number, "nan", key=key)
        words = f"has {values[row]} in row {number:,} of column {shown(name)}."
        raise source.refusal(words, "finite numbers", key=key)
    return values


class _Targets:
    """Takes in the target column group by group: numbers as they are, all else as codes of the different texts."""

    def __init__(self, source: Source, name: str, kind: Any) -> None:
        from pyarrow import types  # noqa: PLC0415 - an extra

        self._source = source
        self._name = name
        self._is_whole = bool(types.is_integer(kind))
        self._is_number = _is_number(kind) and not types.is_boolean(kind)
        self._parts: list[npt.NDArray[Any]] = []
        self._code_of: dict[str, int] = {}

    def add(self, column: Any, before: int) -> None:
        """Take in the next rows.

        Raises:
            InvalidSpec: A value is missing, or they are neither numbers nor classes.
        """
        if self._is_number:
            self._parts.append(_values(self._source, self._name, column, before, key="target"))
            return
        _refuse_gaps(self._source, self._name, column, before, "target")
        with self._source.decoded(WHOLE, key="target"):
            self._parts.extend(self._codes(chunk) for chunk in column.chunks)

    def _codes(self, chunk: Any) -> npt.NDArray[np.int32]:
        import pyarrow as pa  # noqa: PLC0415 - an extra

        if not pa.types.is_dictionary(chunk.type):  # such as booleans and days, which are short
            chunk = chunk.cast(pa.string()).dictionary_encode()
        # A dictionary may have texts that no row has.
        used, places = np.unique(chunk.indices.to_numpy(), return_inverse=True)
        texts = chunk.dictionary.take(pa.array(used[: MAX_CLASSES + 1]))
        if texts.nbytes > MAX_TEXT_BYTES:
            raise _too_long(self._source, self._name, texts.nbytes)
        words = texts.cast(pa.string()).to_pylist()
        codes = np.array([self._code_of.setdefault(word, len(self._code_of)) for word in words], np.int32)
        if len(self._code_of) > MAX_CLASSES:
            raise too_many_classes(self._source, self._name, words[0])
        return codes[places]

    def finish(self) -> Targets:
        """Say what the column is."""
        if not any(map(len, self._parts)):
            return Targets(np.empty((0, 1)))
        values = np.concatenate(self._parts)
        if self._is_number:
            return targets_of_numbers(values, are_whole=self._is_whole)
        return targets_of_texts(values, list(self._code_of))


def _refuse_gaps(source: Source, name: str, column: Any, before: int, key: str | None) -> None:
    if column.null_count:
        row = next(index for index, value in enumerate(column.is_null()) if value.as_py())
        raise missing(source, name, before + row + 1, key=key)
