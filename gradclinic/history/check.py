"""What a recorded part of a history has to be like before anything is made of it: names, steps, whose a signal is.

Faults name their place in the history's JSON form: `/steps`, or `/columns/<layer>~1<signal>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import get_args

import numpy as np

from gradclinic.contract.external import (
    LAST_STEP,
    MAX_CHUNK_NUMBERS,
    MAX_COLUMNS,
    MAX_SIGNALS,
    MAX_SUBJECT,
    SIGNAL_NAME,
)
from gradclinic.contract.naming import is_storable_text, pointer
from gradclinic.contract.parse import MAX_FAULTS
from gradclinic.contract.training import SIGNALS, MetricName
from gradclinic.errors import Fault
from gradclinic.history.history import WHOLE_STEP, SignalTable, column_name

STEP_SIGNALS: tuple[str, ...] = ("loss", "lr", "clipped", "val_loss", *get_args(MetricName))
"""The signals of the contract that belong to the whole step and to nothing else."""

_SIGNAL = re.compile(SIGNAL_NAME)


def check_tables(tables: Mapping[str, SignalTable]) -> list[Fault]:
    """List what is wrong with the tables of one part; an empty list where nothing is."""
    if len(tables) > MAX_SIGNALS:
        return [Fault("/columns", f"There are {len(tables):,} signals.", f"at most {MAX_SIGNALS}")]
    columns = sum(len(table.subjects) for table in tables.values())
    if columns > MAX_COLUMNS:
        return [Fault("/columns", f"There are {columns:,} columns.", f"at most {MAX_COLUMNS:,}")]
    if (numbers := numbers_in(tables)) > MAX_CHUNK_NUMBERS:
        return [Fault("/columns", f"There are {numbers:,} numbers.", f"at most {MAX_CHUNK_NUMBERS:,} in one chunk")]
    faults: list[Fault] = []
    for signal, table in tables.items():
        for fault in (*_name_faults(signal, table), *_step_faults(signal, table)):
            faults.append(fault)
            if len(faults) == MAX_FAULTS:
                return faults
    return faults


def numbers_in(tables: Mapping[str, SignalTable]) -> int:
    """Count the recorded numbers."""
    return sum(table.values.size for table in tables.values())


def column_of(signal: str, table: SignalTable) -> str:
    """Return the place of a signal's first column, by which faults of the whole signal are told."""
    return pointer("columns", column_name(table.subjects[0] if table.subjects else WHOLE_STEP, signal))


def _name_faults(signal: str, table: SignalTable) -> Iterator[Fault]:
    place = column_of(signal, table)
    if not _SIGNAL.fullmatch(signal):
        yield Fault(place, f"{signal[:80]!r} is no name of a signal.", f"a name like {SIGNAL_NAME}")
        return
    if len(set(table.subjects)) < len(table.subjects):
        yield Fault(place, f"A layer or parameter of {signal} stands twice.", "each once")
    for subject in table.subjects:
        if len(subject) > MAX_SUBJECT or not subject.isprintable() or not is_storable_text(subject):
            wanted = f"a name of at most {MAX_SUBJECT} characters that can be printed"
            yield Fault(pointer("columns", column_name(subject[:MAX_SUBJECT], signal)), "This is no name.", wanted)
    of_step = WHOLE_STEP in table.subjects
    if signal in STEP_SIGNALS and table.subjects != (WHOLE_STEP,):
        yield Fault(place, f"{signal} belongs to the whole step, and not to a layer.", f"the one column {signal!r}")
    if signal in SIGNALS and signal != "grad_norm" and of_step:
        yield Fault(pointer("columns", signal), f"{signal} belongs to layers or parameters.", f"'<layer>/{signal}'")
    if signal == "grad_norm" and not of_step:
        yield Fault(place, "The norm of the whole gradient is missing.", "a column 'grad_norm' beside the parameters'")


def _step_faults(signal: str, table: SignalTable) -> Iterator[Fault]:
    steps = table.steps
    if not len(steps):
        yield Fault(column_of(signal, table), f"{signal} has no steps.", "at least one, or no such column")
    elif steps.min() < 0 or steps.max() > LAST_STEP:
        yield Fault("/steps", f"The steps of {signal} go from {steps.min()} to {steps.max()}.", f"0 to {LAST_STEP}")
    elif np.any(steps[1:] <= steps[:-1]):
        place = int(np.flatnonzero(steps[1:] <= steps[:-1])[0])
        detail = f"In {signal}, step {steps[place + 1]} comes after step {steps[place]}."
        yield Fault("/steps", detail, "steps that ascend")
