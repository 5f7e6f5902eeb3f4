"""A posted part of a history, in either of its forms, as tables that were checked.

JSON is the form that a history is read in, for loops in any language; the packed form is what our client sends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradclinic.contract.external import LAST_STEP, ExternalFacts
from gradclinic.contract.naming import pointer
from gradclinic.contract.parse import MAX_FAULTS, load_json, parse_document
from gradclinic.errors import Fault, InvalidHistory, InvalidSpec
from gradclinic.history import WHOLE_STEP, History, RunFacts, SignalTable
from gradclinic.history.check import check_tables
from gradclinic.history.packed import unpack_part

WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How JSON writes the numbers that it does not have."""

KEYS = {"run", "start", "stop", "steps", "columns", "facts"}
"""Of the JSON form. The first three are in what `GET` gives, which can be posted as it is; they say nothing here."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PostedPart:
    """What one chunk brings: tables, and facts where it has any."""

    history: History
    facts: RunFacts | None


def read_packed(body: bytes) -> PostedPart:
    """Read the packed form.

    Raises:
        InvalidSpec: It is none, or what it holds is no history; `faults` lists every place.
    """
    try:
        tables, facts = unpack_part(body)
    except InvalidHistory as error:
        raise InvalidSpec([Fault("", str(error), "a body as gradclinic.history.packed makes it")]) from None
    return _checked(tables, facts)


def read_json(body: bytes) -> PostedPart:
    """Read the JSON form: `{"steps": [...], "columns": {"<layer>/<signal>": [...]}}`, and `facts` if there are any.

    Raises:
        InvalidSpec: It is none, or what it holds is no history; `faults` lists every place.
    """
    document = load_json(body)
    if not isinstance(document, dict) or document.keys() - KEYS:
        raise InvalidSpec([Fault("", "This is no history.", 'an object: {"steps": [...], "columns": {...}}')])
    steps = _steps_of(document.get("steps"))
    columns = document.get("columns")
    if not isinstance(columns, dict):
        raise InvalidSpec([Fault("/columns", "columns is no object.", 'an object: {"<layer>/<signal>": [...]}')])
    return _checked(_tables_of(steps, columns), document.get("facts"))


def facts_from(document: Any) -> RunFacts:
    """Read the facts of a run.

    Raises:
        InvalidSpec: Something in them is wrong.
    """
    return known_facts(parse_document(ExternalFacts, document))


def known_facts(facts: ExternalFacts) -> RunFacts:
    """Turn the facts that a stranger sent into those that we keep."""
    return RunFacts.model_validate(facts.model_dump())


def _checked(tables: dict[str, SignalTable], facts: Any) -> PostedPart:
    if faults := check_tables(tables):
        raise InvalidSpec(faults)
    try:
        return PostedPart(History(tables), None if facts is None else facts_from(facts))
    except InvalidSpec as error:
        raise InvalidSpec([replace(fault, pointer=f"/facts{fault.pointer}") for fault in error.faults]) from None


def _steps_of(steps: Any) -> npt.NDArray[np.int64]:
    if not isinstance(steps, list):
        raise InvalidSpec([Fault("/steps", "steps is no list.", "a list of steps: [0, 1, 2]")])
    before = -1
    for place, step in enumerate(steps):
        if type(step) is not int or not before < step <= LAST_STEP:
            wanted = f"a whole number above {before}, at most {LAST_STEP}"
            raise InvalidSpec([Fault(pointer("steps", place), f"This is {str(step)[:60]}.", wanted)])
        before = step
    return np.array(steps, np.int64)


def _tables_of(steps: npt.NDArray[np.int64], columns: Mapping[str, Any]) -> dict[str, SignalTable]:
    """Make a table of the columns of each signal. A row that is null in all of them was not recorded."""
    by_signal: dict[str, dict[str, tuple[Floats, npt.NDArray[np.bool_]]]] = {}
    for name, column in columns.items():
        subject, slash, signal = name.rpartition("/")
        if slash and not subject:  # "/loss" would be a second name of "loss"; as it stands it is no signal's
            signal = name
        by_signal.setdefault(signal, {})[subject or WHOLE_STEP] = _numbers_of(name, column, len(steps))
    tables: dict[str, SignalTable] = {}
    faults: list[Fault] = []
    for signal, found in by_signal.items():
        recorded = np.stack([mask for _, mask in found.values()])
        rows = recorded.any(axis=0)
        for subject, mask in zip(found, recorded, strict=True):
            for place in np.flatnonzero(rows & ~mask)[: MAX_FAULTS - len(faults)]:
                detail = f"This is null, where {signal} of something else was recorded at that step."
                at = pointer("columns", f"{subject}/{signal}" if subject else signal, int(place))
                faults.append(Fault(at, detail, "a number, or null in all columns of the signal"))
        if rows.any():
            values = np.stack([numbers[rows] for numbers, _ in found.values()], axis=1)
            tables[signal] = SignalTable(steps[rows], tuple(found), values)
    if faults:
        raise InvalidSpec(faults)
    return tables


def _numbers_of(name: str, column: Any, length: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the numbers (length,) of one column, and where there are any."""
    if not isinstance(column, list) or len(column) != length:
        came = f"a list of {len(column):,}" if isinstance(column, list) else "no list"
        raise InvalidSpec([Fault(pointer("columns", name), f"This is {came}.", f"a list of {length:,}, one a step")])
    numbers = np.zeros(length)
    for place, value in enumerate(column):
        try:
            if value is not None:
                numbers[place] = _number(value)
        except (TypeError, ValueError, OverflowError):
            wanted = 'a number, "NaN", "Infinity", "-Infinity", or null where nothing was recorded'
            fault = Fault(pointer("columns", name, place), f"This is {str(value)[:60]!r}.", wanted)
            raise InvalidSpec([fault]) from None
    return numbers, np.array([value is not None for value in column], bool)


def _number(value: Any) -> float:
    if isinstance(value, str) and value in WORDS:
        return WORDS[value]
    if type(value) not in {int, float}:
        raise TypeError
    number = float(value)
    if math.isinf(number):  # 1e999, which is no infinity but a number that is too large
        raise OverflowError
    return number
