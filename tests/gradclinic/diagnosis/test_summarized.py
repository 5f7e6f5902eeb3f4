"""A diagnosis from a summary is the diagnosis from the whole history: of real trainings, and of made-up long ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.parse import parse_spec
from gradclinic.diagnosis import RULES, diagnose
from gradclinic.diagnosis.rule import Rule
from gradclinic.diagnosis.summarized import SUMMED, WHOLE, diagnose_summary
from gradclinic.history import WHOLE_STEP, History, LayerFacts, RunFacts, SignalTable
from gradclinic.history.facts import Restraint, Trivial
from gradclinic.history.overview import Grid
from gradclinic.history.summary import Stretch, Summary, summarize
from gradclinic.training import train

LAYERS, STEPS = 6, 2400
NAMES = tuple(f"layers.{place}" for place in range(LAYERS))
WEIGHTS = tuple(f"{name}.weight" for name in NAMES)
SICK = [(rule, spec) for rule in RULES for spec in rule.sick]


def told(diagnosis: Diagnosis) -> list[tuple[Any, ...]]:
    return [
        (finding.rule, finding.severity, finding.caused_by, finding.first_step, finding.cause and finding.cause.what)
        for finding in diagnosis.findings
    ]


def from_summary(history: History, grid: Grid | None = None) -> Diagnosis:
    def rows_between(stretch: Stretch, signals: Collection[str]) -> History:
        return history.select(signals, start=stretch[0], stop=stretch[1])

    return diagnose_summary(summarize(history, list(SUMMED), grid), rows_between)


@pytest.mark.parametrize(("rule", "spec"), SICK, ids=[rule.id for rule, _ in SICK])
def test_a_sick_training_is_told_alike(rule: Rule, spec: Mapping[str, Any]):
    """They are shorter than what is summed up otherwise; here all but their first and last steps are."""
    history = train(parse_spec(dict(spec))).history
    grid = Grid(32, max(((history.last_step or 0) - 20) // 32, 1) * 32, 32)
    assert told(from_summary(history, grid)) == told(diagnose(history)), rule.id


Change = Callable[[dict[str, np.ndarray], np.random.Generator], None]


def long_history(change: Change, seed: int = 0, *, every: int = 10, facts: RunFacts | None = None) -> History:
    """A training of a healthy model that learns nothing, so that every symptom counts, with a change made to its numbers."""
    generator = np.random.default_rng(seed)
    values = {
        "loss": 2.3 + 0.1 * generator.standard_normal((STEPS, 1)),
        "lr": np.full((STEPS, 1), 0.1),
        "clipped": np.zeros((STEPS, 1)),
        "grad_norm": np.exp(0.2 * generator.standard_normal((STEPS, LAYERS))),
        "grad_nonfinite": np.zeros((STEPS, LAYERS)),
        "activation_grad_norm": np.exp(0.2 * generator.standard_normal((STEPS, LAYERS))),
        "weight_norm": np.full((STEPS, LAYERS), 5.0),
        "update_ratio": 1e-3 * np.exp(0.3 * generator.standard_normal((STEPS, LAYERS))),
        "dead_fraction": np.full((STEPS, LAYERS), 0.1),
        "saturated_fraction": np.full((STEPS, LAYERS), 0.1),
    }
    change(values, generator)
    tables = {}
    for signal, numbers in values.items():
        at = np.arange(STEPS)
        subjects = (WHOLE_STEP,) if signal in WHOLE else NAMES if _is_of_layers(signal) else WEIGHTS
        sparse = signal in SUMMED and not signal.startswith("grad_")
        due = (at < 10) | (at % (every if sparse else 1) == 0)
        tables[signal] = SignalTable(at[due], subjects, numbers[due])
    norms = values["grad_norm"]
    whole = np.column_stack([np.hypot.reduce(norms, axis=1), norms])
    tables["grad_norm"] = SignalTable(np.arange(STEPS), (WHOLE_STEP, *WEIGHTS), whole)
    layers = [LayerFacts(name=name, type="Linear", parameters=[f"{name}.weight"]) for name in NAMES]
    known = facts or RunFacts(trivial=Trivial(train_loss=2.3))
    return History(tables, known.model_copy(update={"layers": layers}))


def _is_of_layers(signal: str) -> bool:
    return signal in {"activation_grad_norm", "dead_fraction", "saturated_fraction"}


def spike(step: int, size: float) -> Change:
    def change(values: dict[str, np.ndarray], _: np.random.Generator) -> None:
        values["grad_norm"][step] *= size
        values["update_ratio"][step // 10 * 10, 2] = 1e-3 * size

    return change


def burst(start: int, stop: int) -> Change:
    def change(values: dict[str, np.ndarray], _: np.random.Generator) -> None:
        values["grad_norm"][start:stop, 1] = np.nan
        values["grad_nonfinite"][start:stop, 1] = 3.0
        values["loss"][start:stop] = np.nan

    return change


def late(signal: str, step: int, number: float, column: int = 1) -> Change:
    def change(values: dict[str, np.ndarray], _: np.random.Generator) -> None:
        values[signal][step:, column] = number

    return change


def vanishing_from(step: int) -> Change:
    def change(values: dict[str, np.ndarray], _: np.random.Generator) -> None:
        values["activation_grad_norm"][step:] *= 10.0 ** np.arange(-LAYERS, 0)

    return change


def nothing(_values: dict[str, np.ndarray], _: np.random.Generator) -> None:
    """Change nothing."""


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (nothing, "loss_not_decreasing"),
        (spike(1111, 1e6), "exploding_gradient"),
        (spike(1115, 2e4), "exploding_gradient"),
        (burst(1000, 1001), "non_finite"),
        (burst(700, 1900), "non_finite"),
        (burst(2300, STEPS), "non_finite"),
        (late("dead_fraction", 1507, 0.9), "dead_units"),
        (late("saturated_fraction", 607, 0.9), "saturated_activations"),
        (late("update_ratio", 1807, 20.0), "learning_rate_too_high"),
        (late("grad_norm", 0, 0.0), "zero_gradient"),
        (late("weight_norm", 0, 5.0), "loss_not_decreasing"),
        (vanishing_from(0), "vanishing_gradient"),
        (vanishing_from(403), "vanishing_gradient"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_what_happens_in_the_middle_is_found_at_its_step(change: Change, rule: str, seed: int):
    history = long_history(change, seed)
    found = told(from_summary(history))
    assert found == told(diagnose(history))
    assert rule in [one[0] for one in found]


def test_one_step_that_is_too_long_is_no_finding_and_two_are_one():
    """Both lie in one stretch, whose maximum cannot tell one from two: its rows are read."""
    for steps, expected in (((1000,), False), ((1000, 1010), True)):

        def change(values: dict[str, np.ndarray], _: np.random.Generator, at: tuple[int, ...] = steps) -> None:
            for step in at:
                values["update_ratio"][step, 3] = 7.0

        history = long_history(change)
        found = told(from_summary(history))
        assert found == told(diagnose(history))
        assert ("learning_rate_too_high" in [one[0] for one in found]) == expected


def test_weight_decay_is_weighed_against_the_data_of_the_same_stretches():
    facts = RunFacts(trivial=Trivial(train_loss=2.3), restraint=Restraint(weight_decay=0.5))
    history = long_history(nothing, facts=facts)
    found = told(from_summary(history))
    assert found == told(diagnose(history))
    assert "over_regularized" in [one[0] for one in found]


CHANGES = st.one_of(
    st.builds(spike, st.integers(0, STEPS - 1), st.floats(1.0, 1e7)),
    st.builds(lambda start, length: burst(start, start + length), st.integers(0, STEPS - 1), st.integers(1, 900)),
    st.builds(
        late,
        st.sampled_from(["dead_fraction", "saturated_fraction"]),
        st.integers(0, STEPS),
        st.sampled_from([0.9, 0.2]),
    ),
    st.builds(late, st.just("update_ratio"), st.integers(0, STEPS), st.sampled_from([5.0, 0.0, 1e-9])),
    st.builds(vanishing_from, st.integers(0, 900)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(CHANGES, max_size=3), st.integers(0, 5), st.sampled_from([1, 10, 40]))
def test_rules_and_severities_are_those_of_the_whole_history(changes: list[Change], seed: int, every: int):
    def change(values: dict[str, np.ndarray], generator: np.random.Generator) -> None:
        for one in changes:
            one(values, generator)

    history = long_history(change, seed, every=every)
    assert {one[:2] for one in told(from_summary(history))} == {one[:2] for one in told(diagnose(history))}


def test_rules_ask_for_no_more_than_is_read():
    """What a rule needs has to be in one of the two tables, or a stored run would be judged without it."""
    assert {signal for rule in RULES for signal in rule.signals} <= {*SUMMED, *WHOLE}


class Watched(Summary):
    """A summary that notes what is asked of it."""

    asked: set[tuple[str, str]]

    def __getitem__(self, signal: str) -> SignalTable:
        self.asked.add((signal, "mean"))
        return super().__getitem__(signal)

    def highest(self, signal: str) -> SignalTable:
        self.asked.add((signal, "largest"))
        return self.largest.get(signal, self.tables[signal])


@pytest.mark.parametrize("change", [nothing, vanishing_from(0), burst(700, 900), spike(1111, 1e6)])
def test_rules_ask_for_the_largest_values_where_the_table_says_so(change: Change):
    summary = summarize(long_history(change), list(SUMMED))
    watched = Watched(summary.tables, summary.facts, summary.largest, summary.stretches)
    object.__setattr__(watched, "asked", set())
    diagnose(watched)
    largest = {signal for signal, statistic in watched.asked if statistic == "largest"}
    assert largest <= {signal for signal, statistics in SUMMED.items() if "largest" in statistics}
