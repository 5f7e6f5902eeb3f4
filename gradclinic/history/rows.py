"""A history's columns side by side: one row a step, which is how files and tables want it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from gradclinic.errors import InvalidHistory
from gradclinic.history.history import CHUNK_STEPS, WHOLE_STEP, History, SignalTable, column_name

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Steps = npt.NDArray[np.int64]


class Columns:
    """The columns of a table: which there are, in which order, and which of them fit into float32.

    Those of the whole step stand first, where that leaves the subjects of every signal in their order.
    """

    def __init__(self, subjects: Mapping[str, Collection[str]], wide: Collection[tuple[str, str]] = ()) -> None:
        leading = [signal for signal, names in subjects.items() if next(iter(names), None) == WHOLE_STEP]
        first = [(signal, WHOLE_STEP) for signal in leading]
        rest = [
            (signal, subject)
            for signal, names in subjects.items()
            for subject in names
            if subject != WHOLE_STEP or signal not in leading
        ]
        self.keys: list[tuple[str, str]] = first + rest
        """Signal and subject of each column."""
        self.is_wide: list[bool] = [key in wide for key in self.keys]
        """Whether a column holds numbers that need a float64."""
        self.subjects: dict[str, dict[str, int]] = {}
        """The place of each column, by its signal and subject."""
        for place, (signal, subject) in enumerate(self.keys):
            self.subjects.setdefault(signal, {})[subject] = place
        self._found: dict[tuple[str, tuple[str, ...]], npt.NDArray[np.intp]] = {}

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def names(self) -> list[str]:
        """The columns' names, as in the HTTP history and in Arrow."""
        return [column_name(subject, signal) for signal, subject in self.keys]

    def places_of(self, signal: str, subjects: tuple[str, ...]) -> npt.NDArray[np.intp]:
        """Return the places of a table's subjects.

        Raises:
            InvalidHistory: There is no such column.
        """
        known = self._found.get((signal, subjects))
        if known is not None:
            return known
        places = self.subjects.get(signal, {})
        unknown = next((subject for subject in subjects if subject not in places), None)
        if unknown is not None:
            raise InvalidHistory(
                f"A later part has a column {column_name(unknown, signal)!r} that is in none before it."
            )
        found = np.array([places[subject] for subject in subjects], np.intp)
        self._found[(signal, subjects)] = found
        return found


@dataclass(frozen=True)
class Rows:
    """Some steps of all columns: steps (n,) ascending, values and recorded (n, columns).

    What was not recorded is NaN in `values`, as is a NaN that was; `recorded` tells them apart.
    """

    steps: Steps
    values: Floats
    recorded: Bools


def align(pieces: Sequence[tuple[str, SignalTable]], columns: Columns) -> Rows:
    """Lay pieces of signals side by side, by their steps. Pieces of one signal may have different subjects.

    Raises:
        InvalidHistory: A piece has a column that is not in `columns`.
    """
    steps = all_steps(table for _, table in pieces)
    # By columns in memory, because that is how the pieces come and how Arrow wants them.
    values = np.full((len(columns), len(steps)), np.nan)
    recorded = np.zeros((len(columns), len(steps)), np.bool_)
    for signal, table in pieces:
        places = columns.places_of(signal, table.subjects)
        rows = np.searchsorted(steps, table.steps)
        if not len(rows) or not len(places):
            continue
        if _is_run(rows) and _is_run(places):
            block = np.s_[places[0] : places[-1] + 1, rows[0] : rows[-1] + 1]
            values[block] = table.values.T
            recorded[block] = True
        else:
            grid = np.ix_(places, rows)
            values[grid] = table.values.T
            recorded[grid] = True
    return Rows(steps, values.T, recorded.T)


def all_steps(tables: Iterable[SignalTable]) -> Steps:
    """Return the steps of which anything was recorded, each once, ascending."""
    recorded_at = [table.steps for table in tables]
    if not recorded_at:
        return np.empty(0, np.int64)
    # Faster than np.unique: what comes in ascending runs is merged, and not hashed.
    steps = np.sort(np.concatenate(recorded_at), kind="stable")
    return steps[np.diff(steps, prepend=steps[:1] - 1) > 0]


def narrow_columns(values: Floats) -> Bools:
    """Tell for each column of (n, columns) whether float32 holds all of its numbers; a NaN it does."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        same = values.astype(np.float32) == values
    fits: Bools = (same | np.isnan(values)).all(axis=0)
    return fits


def slices(history: History, steps: int = CHUNK_STEPS) -> Iterator[History]:
    """Cut a history into parts of at most so many steps, in their order."""
    rows = all_steps(history.tables.values())
    if not len(rows):
        yield history
    for start, stop in pairwise([*rows[::steps].tolist(), None]):
        yield history.select(start=start, stop=stop)


def find_columns(parts: Iterable[History]) -> Columns:
    """Find the columns of a history that comes in parts, and which of them need a float64."""
    subjects: dict[str, dict[str, None]] = {}
    wide: set[tuple[str, str]] = set()
    for part in parts:
        for signal, table in part.tables.items():
            subjects.setdefault(signal, {}).update(dict.fromkeys(table.subjects))
            fits = narrow_columns(table.values).tolist()
            wide.update((signal, name) for name, fit in zip(table.subjects, fits, strict=True) if not fit)
    return Columns(subjects, wide)


def _is_run(places: npt.NDArray[np.intp]) -> bool:
    return bool(places[-1] - places[0] + 1 == len(places)) and bool((np.diff(places) == 1).all())
