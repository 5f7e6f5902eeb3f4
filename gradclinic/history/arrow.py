"""Histories as Arrow tables and files: one row a step, one column a signal of a layer, a parameter or the whole step.

Null is what was not recorded at a step, NaN a NaN that was. What is known about the run stands as JSON in the schema's
metadata. PyArrow is an extra (`pip install 'gradclinic[arrow]'`) and is imported only here, where it is used.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from gradclinic.errors import GradclinicError, InvalidHistory
from gradclinic.history.facts import RunFacts
from gradclinic.history.history import WHOLE_STEP, History, SignalTable
from gradclinic.history.rows import Columns, Rows, align, find_columns, slices

FACTS = b"gradclinic.facts"
"""The key in the schema's metadata under which the run's facts stand."""

POINTS = b"gradclinic.points"
"""The key that marks a table of buckets: minimum, maximum and mean in place of the history itself."""

STEP = "step"

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""How an Arrow stream ends that was not cut."""

ROWS_AT_ONCE = 1024
"""Rows of a history in memory that are laid side by side at once."""

_MAGIC = b"ARROW1"
_PANDAS_INDEX = "__index_level_0__"


class ArrowMissing(GradclinicError):
    """PyArrow, an extra, is not installed."""

    code = "arrow_missing"


def to_arrow(history: History) -> Any:
    """Return a history as a `pyarrow.Table`; `from_arrow` gives the same one back.

    `step` is int64; a column is float32 where that loses nothing, else float64. A signal without any layer or parameter
    holds no number and is left out.

    Raises:
        ArrowMissing: PyArrow is not installed.
    """
    pa = _pyarrow()
    columns = find_columns(slices(history, ROWS_AT_ONCE))
    schema = schema_of(columns, facts=history.facts)
    return pa.Table.from_batches(_batches([history], columns, schema, ROWS_AT_ONCE), schema)


def from_arrow(table: Any) -> History:
    """Read a history from a `pyarrow.Table`: `to_arrow`'s, or any other with a column `step` and columns of numbers.

    A column is named `<layer or parameter>/<signal>`, or by its signal alone where that is of the whole step. Facts may
    be missing.

    Raises:
        ArrowMissing: PyArrow is not installed.
        InvalidHistory: The table is none of a history; it says where.
    """
    pa = _pyarrow()
    with _damage_told(pa, "This Arrow table"):
        table.validate()
        metadata = table.schema.metadata or {}
        if POINTS in metadata:
            raise InvalidHistory(
                "This Arrow table holds minima, maxima and means of a history (points), and not itself."
            )
        facts = _facts_from(metadata)
        names = [name for name in table.schema.names if name != _PANDAS_INDEX]
        _check_names(names)
        steps = _steps_of(pa, table.column(STEP))
        by_signal: dict[str, dict[str, Any]] = {}
        for name in names:
            if name != STEP:
                subject, signal = _key_of(table.schema.field(name))
                by_signal.setdefault(signal, {})[subject] = table.column(name)
        tables = {signal: _table_of(pa, signal, steps, columns) for signal, columns in by_signal.items()}
    return History(tables, facts)


def to_pandas(history: History) -> Any:
    """Return a history as a `pandas.DataFrame`: `to_arrow`'s columns, with NaN also where nothing was recorded.

    Raises:
        ArrowMissing: PyArrow or pandas is not installed.
    """
    table = to_arrow(history)
    try:
        return table.to_pandas()
    except ImportError as error:
        raise ArrowMissing("A DataFrame needs pandas, and that is not installed: pip install pandas.") from error


def save_history(history: History, path: Path | str) -> None:
    """Write a history into an Arrow file (IPC, compressed by Zstandard); `load_history` reads it.

    Raises:
        ArrowMissing: PyArrow is not installed.
        OSError: The file cannot be written.
    """
    save_parts(lambda: slices(history, ROWS_AT_ONCE), path, history.facts)


def save_parts(read_parts: Callable[[], Iterable[History]], path: Path | str, facts: RunFacts) -> None:
    """Write a history that comes in parts, in the order of their steps, into an Arrow file; one part is in memory at once.

    `read_parts` is called twice: for the columns, and for the rows.

    Raises:
        ArrowMissing: PyArrow is not installed.
        InvalidHistory: The parts' steps do not ascend.
        OSError: The file cannot be written.
    """
    pa = _pyarrow()
    columns = find_columns(read_parts())
    schema = schema_of(columns, facts=facts)
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=1))
    with Path(path).open("wb") as file, pa.ipc.new_file(file, schema, options=options) as writer:
        for batch in _batches(read_parts(), columns, schema, ROWS_AT_ONCE):
            writer.write_batch(batch)


def load_history(path: Path | str) -> History:
    """Read a history from an Arrow file or a saved Arrow stream.

    Raises:
        ArrowMissing: PyArrow is not installed.
        InvalidHistory: The file is none of a history, or is damaged.
        OSError: The file cannot be read.
    """
    pa = _pyarrow()
    with Path(path).open("rb") as file, _damage_told(pa, str(path)):
        table = _read_table(pa, file, str(path))
    try:
        return from_arrow(table)
    except InvalidHistory as error:
        raise InvalidHistory(f"{path}: {error}") from error


def read_stream(content: bytes) -> Any:
    """Return the `pyarrow.Table` in an Arrow stream.

    Raises:
        ArrowMissing: PyArrow is not installed.
        InvalidHistory: It is none, was cut, or is damaged.
    """
    pa = _pyarrow()
    with _damage_told(pa, "This stream"):
        return _read_table(pa, io.BytesIO(content), "This stream")


def schema_of(columns: Columns, *, facts: RunFacts | None = None, metadata: Mapping[bytes, bytes] | None = None) -> Any:
    """Return the Arrow schema of a history with these columns.

    Raises:
        ArrowMissing: PyArrow is not installed.
    """
    pa = _pyarrow()
    fields = [pa.field(STEP, pa.int64(), nullable=False)]
    for (signal, subject), name, is_wide in zip(columns.keys, columns.names, columns.is_wide, strict=True):
        field = pa.field(name, pa.float64() if is_wide else pa.float32())
        if _key_of(field) != (subject, signal):  # a name with another slash in it: it says so itself
            field = field.with_metadata({b"subject": subject.encode(), b"signal": signal.encode()})
        fields.append(field)
    known = {} if facts is None else {FACTS: facts.model_dump_json().encode()}
    return pa.schema(fields, {**known, **(metadata or {})} or None)


def batch_of(rows: Rows, columns: Columns, schema: Any) -> Any:
    """Return rows as a `pyarrow.RecordBatch` of `schema_of(columns)`.

    Raises:
        ArrowMissing: PyArrow is not installed.
    """
    pa = _pyarrow()
    by_column: npt.NDArray[np.float64] = np.ascontiguousarray(rows.values.T)
    recorded = rows.recorded.T
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        narrow = by_column.astype(np.float32)
    is_full = [bool(here.all()) for here in recorded]
    arrays = [array_of(rows.steps)]
    for place, is_wide in enumerate(columns.is_wide):
        values = by_column[place] if is_wide else narrow[place]
        arrays.append(array_of(values, None if is_full[place] else recorded[place]))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def array_of(values: npt.NDArray[Any], recorded: npt.NDArray[np.bool_] | None = None) -> Any:
    """Return contiguous numbers (n,) as a `pyarrow.Array` without copying them, null where they were not recorded.

    Raises:
        ArrowMissing: PyArrow is not installed.
    """
    pa = _pyarrow()
    # Not pyarrow.array: before it looks at anything it imports pandas, for a second, wherever that is installed.
    there = None if recorded is None else pa.py_buffer(np.packbits(recorded, bitorder="little"))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [there, pa.py_buffer(values)])


def _batches(parts: Iterable[History], columns: Columns, schema: Any, rows: int) -> Iterator[Any]:
    last = None
    for part in parts:
        for piece in slices(part, rows):
            laid = align(list(piece.tables.items()), columns)
            if not len(laid.steps):
                continue
            if last is not None and laid.steps[0] <= last:
                raise InvalidHistory(f"The parts of a history do not ascend: step {laid.steps[0]} came after {last}.")
            last = laid.steps[-1]
            yield batch_of(laid, columns, schema)


def _read_table(pa: Any, file: IO[bytes], what: str) -> Any:
    if file.read(len(_MAGIC)) == _MAGIC:
        file.seek(0)
        return pa.ipc.open_file(file).read_all()
    size = file.seek(0, 2)
    file.seek(max(0, size - len(END_OF_STREAM)))
    if file.read() != END_OF_STREAM:
        raise InvalidHistory(f"{what} is no Arrow file, or was cut. `History.save` writes one.")
    file.seek(0)
    return pa.ipc.open_stream(file).read_all()


def _facts_from(metadata: Mapping[bytes, bytes]) -> RunFacts:
    if FACTS not in metadata:
        return RunFacts()
    try:
        return RunFacts.model_validate_json(metadata[FACTS], extra="ignore")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the top"
        raise InvalidHistory(f"The metadata gradclinic.facts cannot be read: {first['msg']} at {where}.") from error


def _check_names(names: list[str]) -> None:
    if STEP not in names:
        shown = ", ".join(map(repr, names[:10])) or "none"
        raise InvalidHistory(f"This Arrow table has no column 'step', which numbers the rows; there are {shown}.")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidHistory(f"This Arrow table has two columns {twice!r}.")


def _key_of(field: Any) -> tuple[str, str]:
    """Return subject and signal of a column."""
    given = field.metadata or {}
    if b"signal" in given and b"subject" in given:
        return given[b"subject"].decode(), given[b"signal"].decode()
    subject, _, signal = field.name.rpartition("/")
    return subject or WHOLE_STEP, signal


def _steps_of(pa: Any, column: Any) -> npt.NDArray[np.int64]:
    if not pa.types.is_integer(column.type) or column.null_count:
        raise InvalidHistory(f"The column 'step' holds {column.type} with {column.null_count} nulls; expected int64.")
    steps: npt.NDArray[np.int64] = column.cast(pa.int64()).to_numpy()
    if len(steps) and (steps[0] < 0 or (np.diff(steps) <= 0).any()):
        raise InvalidHistory(
            "The column 'step' does not ascend from 0 or above: each step has one row, in their order."
        )
    return steps


def _table_of(pa: Any, signal: str, steps: npt.NDArray[np.int64], columns: Mapping[str, Any]) -> SignalTable:
    values = np.empty((len(columns), len(steps)))
    recorded: npt.NDArray[np.bool_] | None = None
    for place, (subject, column) in enumerate(columns.items()):
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            raise InvalidHistory(f"The column {subject}/{signal} holds {column.type}; expected numbers. Leave it out.")
        values[place] = column.cast(pa.float64(), safe=False).to_numpy()
        here = ~column.is_null().to_numpy() if column.null_count else np.ones(len(steps), np.bool_)
        if recorded is not None and (here != recorded).any():
            at = steps[here != recorded][0]
            raise InvalidHistory(
                f"At step {at} the signal {signal!r} was recorded of some layers or parameters and not of {subject!r}; "
                "expected all of them or none. Write NaN where a number is not known."
            )
        recorded = here
    if recorded is None or recorded.all():
        return SignalTable(steps, tuple(columns), values.T)
    return SignalTable(steps[recorded], tuple(columns), values.T[recorded])


def _pyarrow() -> Any:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.ipc  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise ArrowMissing(
            "Arrow needs PyArrow, and that is not installed: pip install 'gradclinic[arrow]'."
        ) from error
    return pa


@contextmanager
def _damage_told(pa: Any, what: str) -> Iterator[None]:
    """Tell what PyArrow cannot read.

    Raises:
        InvalidHistory: It cannot.
    """
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError, KeyError) as error:
        said = str(error).partition("\n")[0][:300]
        raise InvalidHistory(
            f"{what} cannot be read as Arrow: {said}. It may be damaged, or something else."
        ) from error
