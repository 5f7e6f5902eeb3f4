"""From one document with a sweep to the documents of its jobs, and from their outcomes to the best one.

Trains nothing and stores nothing.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gradclinic.contract.base import SpecModel
from gradclinic.contract.naming import escape, keys_of, pointer
from gradclinic.contract.parse import MAX_FAULTS, check_form, parse_document
from gradclinic.contract.patch import patch_document, set_value
from gradclinic.contract.sweep import Axes, SweepRow
from gradclinic.contract.training import HIGHER_IS_BETTER
from gradclinic.errors import Fault, InvalidSpec

CHECK_SECONDS = 30.0
"""How long checking all combinations may take; one is done in some hundredths of a second unless its model is large."""

MAX_CHARACTERS = 20_000_000
"""Characters in the specs of all jobs of a sweep: data that stands in the spec would be stored with each."""

CheckedT = TypeVar("CheckedT")


@dataclass(frozen=True)
class Combination:
    """One place in the product of all values: the values by pointer, and the spec that they make."""

    number: int
    values: dict[str, Any]
    document: dict[str, Any]

    def __str__(self) -> str:
        """Return the values for people, as `/optimizer/lr = 0.1, /training/steps = 5`."""
        return ", ".join(f"{place} = {_shown(value)}" for place, value in self.values.items())


class _Swept(SpecModel):
    sweep: Axes


def base_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec that a sweep stands beside."""
    return {key: value for key, value in document.items() if key != "sweep"}


def values_of(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return every combination of values, in the order of the product: the last pointer's values change fastest."""
    return [dict(zip(axes, chosen, strict=True)) for chosen in itertools.product(*axes.values())]


def combinations_of(document: Any, most: int) -> list[Combination]:
    """Make the spec of every combination; the specs themselves are not checked yet.

    Raises:
        InvalidSpec: The sweep is wrong, or makes more than `most` jobs; `faults` lists every place.
    """
    check_form(document)
    if not isinstance(document, Mapping):
        raise InvalidSpec([Fault("", f"This is {_shown(document)}, and no object.", "a job spec with a sweep")])
    axes = parse_document(_Swept, {"sweep": document["sweep"]} if "sweep" in document else {}).sweep
    if faults := [*_twins(axes), *_overwritten(axes)]:
        raise InvalidSpec(faults)
    count = math.prod(map(len, axes.values()))
    if count > most:
        detail = f"The sweep makes {count:,} jobs, more than the limit of {most:,}."
        raise InvalidSpec([Fault("/sweep", detail, f"at most {most:,} combinations")])
    base = base_of(document)
    if (characters := _characters_of(base, axes)) > MAX_CHARACTERS:
        detail = f"The specs of all {count:,} jobs come to {characters:,} characters, more than {MAX_CHARACTERS:,}."
        raise InvalidSpec([Fault("/sweep", detail, "fewer combinations, or uploaded data instead of data in the spec")])
    made = [_with_values(base, values) for values in values_of(axes)]
    if faults := list(dict.fromkeys(fault for _, found in made for fault in found)):
        raise InvalidSpec(faults[:MAX_FAULTS])
    chosen = zip(values_of(axes), made, strict=True)
    return [Combination(number, values, document) for number, (values, (document, _)) in enumerate(chosen)]


def check_combinations(
    combinations: Sequence[Combination], check: Callable[[dict[str, Any]], CheckedT]
) -> list[CheckedT]:
    """Check the spec of every combination, and return what `check` makes of each.

    Raises:
        InvalidSpec: Some are wrong. `faults` lists every place in the posted document once, with the combinations that it
            is wrong in; a swept value is found under `/sweep`.
    """
    checked: list[CheckedT] = []
    wrong: dict[Fault, list[Combination]] = {}
    axes = _axes_of(combinations)
    give_up = time.monotonic() + CHECK_SECONDS
    for combination in combinations:
        if time.monotonic() > give_up:
            detail = f"Checking took longer than {CHECK_SECONDS:g} s after {combination.number} of {len(combinations)}."
            raise InvalidSpec([Fault("/sweep", detail, "fewer combinations at once, or smaller models")])
        try:
            checked.append(check(combination.document))
        except InvalidSpec as error:
            for fault in error.faults:
                placed = Fault(_posted_at(fault.pointer, combination, axes), fault.detail, fault.expected)
                wrong.setdefault(placed, []).append(combination)
    if wrong:
        told = [_told(fault, where, len(combinations)) for fault, where in wrong.items()]
        raise InvalidSpec(told[:MAX_FAULTS])
    return checked


def compared_by(axes: Mapping[str, Any], rows: Sequence[SweepRow]) -> str | None:
    """Say what these rows can be compared by: the metric that all outcomes share, else the validation loss.

    None where there is nothing to compare, or nothing that means the same everywhere.
    """
    outcomes = [row.outcome for row in rows if row.outcome is not None]
    names = {None if outcome.metric is None else outcome.metric.name for outcome in outcomes}
    if len(names) != 1:
        return None
    name = names.pop()
    if name is not None:
        return name if name in HIGHER_IS_BETTER else None
    return None if any(keys_of(place)[0] == "loss" for place in axes) else "val_loss"


def best_first(rows: Sequence[SweepRow], by: str | None) -> list[SweepRow]:
    """Sort rows by what they are compared by; those without a finite value stand last, and equals as they stood."""
    return sorted(rows, key=lambda row: _rank(row, by))


def best_of(rows: Sequence[SweepRow], by: str | None) -> str | None:
    """Return the job of the best row, or None where no row has a finite value."""
    found = best_first(rows, by)
    return found[0].job if found and _rank(found[0], by) < math.inf else None


def _rank(row: SweepRow, by: str | None) -> float:
    """Return a number that is the smaller the better."""
    outcome = row.outcome
    if outcome is None or by is None:
        return math.inf
    metric = None if outcome.metric is None else outcome.metric.value
    value = outcome.val_loss if by == "val_loss" else metric
    if value is None or not math.isfinite(value):
        return math.inf
    return -value if HIGHER_IS_BETTER.get(by) else value


def _with_values(base: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """Set every value, in the order of the pointers, so that a later one may go into an earlier one's value.

    The faults name the pointers that lead nowhere.
    """
    document, faults = patch_document(base, []), []
    for place, value in values.items():
        try:
            patch_document(document, set_value(document, keys_of(place), value), in_place=True)
        except InvalidSpec as error:
            (fault,) = error.faults
            faults.append(Fault(pointer("sweep", place), f"{fault.pointer}: {fault.detail}", fault.expected))
    return document, faults


def _characters_of(base: Mapping[str, Any], axes: Mapping[str, Sequence[Any]]) -> int:
    """Return how long the specs of all combinations are together, before any is made."""
    count = math.prod(map(len, axes.values()))
    lengths = [sum(len(json.dumps(value)) for value in values) * count // len(values) for values in axes.values()]
    return count * len(json.dumps(base)) + sum(lengths)


def _twins(axes: Mapping[str, Sequence[Any]]) -> list[Fault]:
    """List the values that stand twice under one pointer: their jobs would be the same."""
    faults = []
    for place, values in axes.items():
        seen: dict[str, int] = {}
        for index, value in enumerate(values):
            first = seen.setdefault(json.dumps(value, sort_keys=True), index)
            if first != index:
                detail = f"{_shown(value)} is item {first} already, and would make the same job twice."
                faults.append(Fault(pointer("sweep", place, index), detail, "a value that is not there yet"))
    return faults


def _overwritten(axes: Mapping[str, Any]) -> list[Fault]:
    """List the pointers whose values would replace what an earlier pointer has set."""
    faults = []
    places = list(axes)
    for index, place in enumerate(places):
        if inner := next((earlier for earlier in places[:index] if earlier.startswith(f"{place}/")), None):
            detail = f"The values here would overwrite those of {inner}, which stands before it."
            faults.append(Fault(pointer("sweep", place), detail, f"{place} before {inner}"))
    return faults


def _axes_of(combinations: Sequence[Combination]) -> dict[str, list[str]]:
    """Return the values under each pointer, written as JSON, in the order in which they were posted."""
    axes: dict[str, dict[str, None]] = {}
    for combination in combinations:
        for place, value in combination.values.items():
            axes.setdefault(place, {})[json.dumps(value, sort_keys=True)] = None
    return {place: list(values) for place, values in axes.items()}


def _posted_at(place: str, combination: Combination, axes: Mapping[str, Sequence[str]]) -> str:
    """Say where in the posted document stands what stands there in a combination's: in the spec, or under the sweep."""
    swept = [axis for axis in combination.values if f"{place}/".startswith(f"{axis}/")]
    if not swept:
        return place
    axis = swept[-1]  # the one that was set last
    index = axes[axis].index(json.dumps(combination.values[axis], sort_keys=True))
    return f"/sweep/{escape(axis)}/{index}{place.removeprefix(axis)}"


def _told(fault: Fault, where: Sequence[Combination], count: int) -> Fault:
    """Add to a fault the combinations that it concerns, unless it concerns all."""
    if len(where) == count:
        return fault
    others = f", and {len(where) - 1} more" if len(where) > 1 else ""
    detail = f"{fault.detail} Combination {where[0].number} ({where[0]}){others}."
    return Fault(fault.pointer, detail, fault.expected)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
