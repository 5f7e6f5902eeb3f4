"""A run's signals over its steps, in memory.

A history is one table a signal: the steps at which it was recorded, its subjects (layers, parameters, or the whole
step) and a value for each. Values are float64 here; how they are packed is `codec.py`'s business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gradclinic.errors import InvalidHistory
from gradclinic.history.facts import RunFacts

WHOLE_STEP = ""
"""The subject of a signal that belongs to the step and not to a layer, such as the loss."""

CHUNK_STEPS = 128
"""Steps of one part of a history wherever it goes in parts: from a recorder, into the store, out of it, into a file. A
power of two, so that the cells of overviews (32 steps, 128, 512, ...) end where chunks do."""


@dataclass(frozen=True)
class SignalTable:
    """One signal: `values[i, j]` was recorded at `steps[i]` of `subjects[j]`.

    Shapes: steps (n,) int64 ascending, values (n, len(subjects)) float64. NaN is a value that was recorded, not a gap.
    """

    steps: npt.NDArray[np.int64]
    subjects: tuple[str, ...]
    values: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.steps), len(self.subjects)):
            raise InvalidHistory(
                f"A table of {len(self.steps)} steps and {len(self.subjects)} subjects has values of shape "
                f"{self.values.shape}; expected {(len(self.steps), len(self.subjects))}."
            )

    def between(self, start: int, stop: int) -> SignalTable:
        """Return the rows with `start <= step < stop`."""
        first, last = np.searchsorted(self.steps, [start, stop])
        return SignalTable(self.steps[first:last], self.subjects, self.values[first:last])

    def of(self, subjects: Iterable[str]) -> SignalTable:
        """Return the columns of those `subjects` that are in the table, in its own order."""
        wanted = set(subjects)
        kept = [place for place, subject in enumerate(self.subjects) if subject in wanted]
        if len(kept) == len(self.subjects):
            return self
        return SignalTable(self.steps, tuple(self.subjects[place] for place in kept), self.values[:, kept])

    def series(self, subject: str = WHOLE_STEP) -> npt.NDArray[np.float64]:
        """Return the values (n,) of one subject.

        Raises:
            InvalidHistory: The subject is not in the table.
        """
        if subject not in self.subjects:
            raise InvalidHistory(f"Nothing was recorded of {subject!r}; there are {', '.join(self.subjects[:10])}.")
        return self.values[:, self.subjects.index(subject)]


@dataclass(frozen=True)
class History:
    """A run's signals by name, with what is known about the run itself (`facts`)."""

    tables: Mapping[str, SignalTable] = field(default_factory=dict)
    facts: RunFacts = field(default_factory=RunFacts)

    def __contains__(self, signal: object) -> bool:
        return signal in self.tables

    def __getitem__(self, signal: str) -> SignalTable:
        """Return the table of one signal.

        Raises:
            InvalidHistory: It was not recorded.
        """
        if signal not in self.tables:
            raise InvalidHistory(
                f"The signal {signal!r} was not recorded; there are {', '.join(self.tables) or 'none'}."
            )
        return self.tables[signal]

    def highest(self, signal: str) -> SignalTable:
        """Return the table of one signal for whoever asks for its largest values: here all of them, as they were recorded.

        Where stretches of steps are summed up in one row, `self[signal]` holds means, and this the largest values; see
        `gradclinic.history.summary`.
        """
        return self[signal]

    @property
    def last_step(self) -> int | None:
        """The last step of which anything is recorded; None of an empty history."""
        return max((int(table.steps[-1]) for table in self.tables.values() if len(table.steps)), default=None)

    def select(
        self,
        signals: Iterable[str] | None = None,
        subjects: Iterable[str] | None = None,
        start: int = 0,
        stop: int | None = None,
    ) -> History:
        """Return the part with the given signals and subjects, and `start <= step < stop`."""
        wanted = None if signals is None else set(signals)
        layers = None if subjects is None else set(subjects)
        end = np.iinfo(np.int64).max if stop is None else stop
        tables = {
            name: table.between(start, end) if layers is None else table.of(layers).between(start, end)
            for name, table in self.tables.items()
            if wanted is None or name in wanted
        }
        return History({name: table for name, table in tables.items() if table.subjects}, self.facts)

    def to_arrow(self) -> Any:
        """Return this as a `pyarrow.Table`, one row a step; see `gradclinic.history.arrow`, an extra."""
        from gradclinic.history.arrow import to_arrow  # noqa: PLC0415 - arrow.py makes histories: at the top it would be a circle

        return to_arrow(self)

    def to_pandas(self) -> Any:
        """Return this as a `pandas.DataFrame` with the columns of `to_arrow`."""
        from gradclinic.history.arrow import to_pandas  # noqa: PLC0415 - likewise

        return to_pandas(self)

    @staticmethod
    def from_arrow(table: Any) -> History:
        """Read what `to_arrow` made, or any `pyarrow.Table` with a column `step` and columns of numbers.

        Raises:
            InvalidHistory: It is no history.
        """
        from gradclinic.history.arrow import from_arrow  # noqa: PLC0415 - likewise

        return from_arrow(table)

    def save(self, path: Path | str) -> None:
        """Write this into an Arrow file, which `load` and everything else that knows Arrow can read."""
        from gradclinic.history.arrow import save_history  # noqa: PLC0415 - likewise

        save_history(self, path)

    @staticmethod
    def load(path: Path | str) -> History:
        """Read what `save` wrote, or what the service sent as Arrow.

        Raises:
            InvalidHistory: It is no history, or damaged.
            OSError: The file cannot be read.
        """
        from gradclinic.history.arrow import load_history  # noqa: PLC0415 - likewise

        return load_history(path)


def column_name(subject: str, signal: str) -> str:
    """Name one column as the HTTP history and Arrow do: `<layer>/<signal>`, or the signal alone."""
    return f"{subject}/{signal}" if subject else signal


def concatenate(parts: Iterable[History]) -> History:
    """Join parts of one run, given in the order of their steps. The facts are those of the last part.

    Raises:
        InvalidHistory: Two parts name other subjects for one signal, or their steps do not ascend.
    """
    pieces = list(parts)
    names = dict.fromkeys(name for piece in pieces for name in piece.tables)
    tables = {name: _stack(name, [p.tables[name] for p in pieces if name in p.tables]) for name in names}
    return History(tables, pieces[-1].facts if pieces else RunFacts())


def _stack(signal: str, tables: list[SignalTable]) -> SignalTable:
    subjects = tables[0].subjects
    if any(table.subjects != subjects for table in tables):
        raise InvalidHistory(f"The parts of the signal {signal!r} have different layers or parameters.")
    steps = np.concatenate([table.steps for table in tables])
    if np.any(np.diff(steps) <= 0):
        raise InvalidHistory(f"The steps of the signal {signal!r} do not ascend: a part came twice, or out of order.")
    return SignalTable(steps, subjects, np.concatenate([table.values for table in tables]))
