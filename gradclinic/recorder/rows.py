"""The rows of one chunk of steps, as they come, and the tables they become.

Numbers of a device may stay there until the tables are made, and then come over in one copy for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gradclinic.contract.external import SIGNAL_NAME
from gradclinic.contract.training import SIGNALS
from gradclinic.history import WHOLE_STEP, SignalTable
from gradclinic.history.codec import as_recorded

FloatArray = npt.NDArray[np.float64]
Values = FloatArray | Tensor


RESERVED = frozenset({*SIGNALS, "step"})
"""What a number of a step cannot be called: it would take the place of what is recorded of parameters and layers."""


def refuse_name(name: str) -> None:
    """Refuse a number's name that no history can hold.

    Raises:
        ValueError: It is one of `RESERVED`, or no `SIGNAL_NAME`.
    """
    if name in RESERVED:
        raise ValueError(
            f"A number of your own cannot be called {name!r}, which the recorder itself records: rename it."
        )
    if not re.fullmatch(SIGNAL_NAME, name):
        raise ValueError(
            f"A number cannot be called {name[:120]!r}; expected a letter or _, then up to 99 letters, digits and _.:@-"
        )


class Rows:
    """What was recorded since the last chunk: of each set of signals that came together, a list of rows.

    A row is an array, or a float64 tensor on any device.
    """

    def __init__(self) -> None:
        self._blocks: dict[tuple[tuple[str, int], ...], _Block] = {}
        self._numbers: dict[str, _Block] = {}

    def __bool__(self) -> bool:
        return bool(self._blocks or self._numbers)

    def add(self, columns: tuple[tuple[str, int], ...], step: int, subjects: tuple[str, ...], row: Values) -> None:
        """Add a row (subjects, n) whose columns are those signals at those places; others in it are left out."""
        block = self._blocks.get(columns)
        if block is None:
            block = self._blocks[columns] = _Block(subjects)
        block.steps.append(step)
        block.rows.append(row)

    def add_number(self, name: str, step: int, value: float | Tensor) -> None:
        """Add a number of the whole step; a second one of the same name and step replaces the first."""
        block = self._numbers.get(name)
        if block is None:
            block = self._numbers[name] = _Block((WHOLE_STEP,))
        if block.steps and block.steps[-1] == step:
            block.rows[-1] = value
            return
        block.steps.append(step)
        block.rows.append(value)

    def tables(self) -> dict[str, SignalTable]:
        """Make the tables, each signal's rows in the order of the steps; of `grad_norm` with the whole gradient's first.

        On a device this is where the host waits.
        """
        self._fetch()
        pieces: dict[str, list[tuple[list[int], tuple[str, ...], FloatArray]]] = {}
        for columns, block in self._blocks.items():
            stacked = np.stack(block.rows)  # (steps, subjects, n)
            for signal, place in columns:
                pieces.setdefault(signal, []).append((block.steps, block.subjects, stacked[:, :, place]))
        tables = {signal: _table(parts) for signal, parts in pieces.items()}
        if "grad_norm" in tables:
            tables["grad_norm"] = _with_whole_norm(tables["grad_norm"])
        for name, block in self._numbers.items():
            values = np.array(block.rows, np.float64)[:, None]
            tables[name] = SignalTable(np.array(block.steps, np.int64), block.subjects, values)
        return {name: _recorded(table) for name, table in tables.items()}

    def _fetch(self) -> None:
        """Bring all that lies on a device over, in one copy a device."""
        waiting: dict[torch.device, list[tuple[_Block, int, Tensor]]] = {}
        for block in (*self._blocks.values(), *self._numbers.values()):
            for place, row in enumerate(block.rows):
                if isinstance(row, Tensor):
                    waiting.setdefault(row.device, []).append((block, place, row))
        for rows in waiting.values():
            together = torch.cat([row.reshape(-1) for _, _, row in rows]).numpy(force=True)
            parts = np.split(together, np.cumsum([row.numel() for _, _, row in rows])[:-1])
            for (block, place, row), part in zip(rows, parts, strict=True):
                block.rows[place] = part.reshape(tuple(row.shape))


class _Block:
    """Rows that have the same subjects and signals."""

    def __init__(self, subjects: tuple[str, ...]) -> None:
        self.subjects = subjects
        self.steps: list[int] = []
        self.rows: list[Values | float] = []


def _table(parts: Sequence[tuple[list[int], tuple[str, ...], FloatArray]]) -> SignalTable:
    """Join the rows of one signal, which came in several blocks where it was due together with others."""
    if len(parts) == 1:
        steps, subjects, values = parts[0]
        return SignalTable(np.array(steps, np.int64), subjects, values)
    joined = np.concatenate([np.array(steps, np.int64) for steps, _, _ in parts])
    order = np.argsort(joined)
    return SignalTable(joined[order], parts[0][1], np.concatenate([values for _, _, values in parts])[order])


def _with_whole_norm(norms: SignalTable) -> SignalTable:
    """Put the norm of the whole gradient before those of its parts."""
    # hypot squares nothing that is too small or large for it. Of infinity and NaN it makes infinity, which is not so.
    whole = np.hypot.reduce(norms.values, axis=1, initial=0.0)
    whole = np.where(np.isnan(norms.values).any(axis=1), np.nan, whole)
    return SignalTable(norms.steps, (WHOLE_STEP, *norms.subjects), np.column_stack([whole, norms.values]))


def _recorded(table: SignalTable) -> SignalTable:
    return SignalTable(table.steps, table.subjects, as_recorded(table.values))


def in_order(tables: Mapping[str, SignalTable], subjects: Sequence[str]) -> dict[str, SignalTable]:
    """Put the columns of parameters in the order given; those of other subjects stay as they are, before them."""
    places = {subject: place for place, subject in enumerate(subjects)}
    return {name: _sorted(table, places) for name, table in tables.items()}


def _sorted(table: SignalTable, places: Mapping[str, int]) -> SignalTable:
    order = sorted(range(len(table.subjects)), key=lambda column: places.get(table.subjects[column], -1))
    return SignalTable(table.steps, tuple(table.subjects[column] for column in order), table.values[:, order])
