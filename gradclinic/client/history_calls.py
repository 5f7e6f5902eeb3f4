"""The client's calls that read what was recorded of a run: as plain objects, as an Arrow table, or as it comes, for a file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from gradclinic.client.connection import Connection, json_of, not_understood, path_of
from gradclinic.errors import InvalidHistory
from gradclinic.history.arrow import read_stream

HistoryFormat = Literal["json", "csv", "arrow"]

_WIRE_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class HistoryCalls:
    """The part of `gradclinic.client.Client` that these are."""

    _connection: Connection

    def history(  # noqa: PLR0913 - the choices of the call, each by its keyword
        self,
        run_id: str,
        *,
        signals: Iterable[str] | None = None,
        layers: Iterable[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
        points: int | None = None,
    ) -> dict[str, Any]:
        """Read a run's signals as the service's JSON has them: `steps`, and `columns` by `<layer>/<signal>`.

        With `points` each column is `min`, `max` and `mean` over so many stretches. NaN and infinities come as floats,
        a value that was not recorded as None.
        """
        asked = {"signals": _joined(signals), "layers": _joined(layers), "start": start, "stop": stop, "points": points}
        answer = json_of(self._connection.send("GET", path_of("runs", run_id, "history"), params=asked))
        columns = answer.get("columns", {}) if isinstance(answer, dict) else None
        if not isinstance(columns, dict):
            raise not_understood("a history without columns")
        return {**answer, "columns": {name: _with_numbers(column) for name, column in columns.items()}}

    def history_as_arrow(  # noqa: PLR0913 - likewise
        self,
        run_id: str,
        *,
        signals: Iterable[str] | None = None,
        layers: Iterable[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
        points: int | None = None,
    ) -> Any:
        """Read a run's signals as a `pyarrow.Table`, one row a step; `History.from_arrow` makes a history of it.

        With `points` a row is a stretch of steps, and each column becomes three: `<name>/min`, `/max` and `/mean`.

        Raises:
            ArrowMissing: PyArrow is not installed.
        """
        with self.stream_history(
            run_id, "arrow", signals=signals, layers=layers, start=start, stop=stop, points=points
        ) as pieces:
            content = b"".join(pieces)
        try:
            return read_stream(content)
        except InvalidHistory as error:
            raise not_understood(str(error)) from error

    @contextmanager
    def stream_history(  # noqa: PLR0913 - likewise
        self,
        run_id: str,
        format: HistoryFormat = "arrow",
        *,
        signals: Iterable[str] | None = None,
        layers: Iterable[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
        points: int | None = None,
    ) -> Iterator[Iterator[bytes]]:
        """Read a run's signals as they come, for a file: `with client.stream_history(run_id, "csv") as pieces`.

        However long the history, little of it is in memory.
        """
        asked = {"signals": _joined(signals), "layers": _joined(layers), "start": start, "stop": stop, "points": points}
        with self._connection.receive(path_of("runs", run_id, "history"), params=asked | {"format": format}) as pieces:
            yield pieces


def _joined(names: Iterable[str] | None) -> str | None:
    return None if names is None else ",".join(names)


def _with_numbers(column: Any) -> Any:
    """Replace the wire's words for numbers that JSON does not have by floats."""
    if isinstance(column, dict):
        return {key: _with_numbers(values) for key, values in column.items()}
    if not isinstance(column, list):
        raise not_understood("a column that is no list")
    try:
        return [_WIRE_NUMBERS[value] if isinstance(value, str) else value for value in column]
    except KeyError as error:
        raise not_understood(f"the number {error}") from error
