"""What fixes can use of a history, read from ones whose numbers are written down."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradclinic.contract.diagnosis import Outcome
from gradclinic.fixes.measured import Measured, read_history
from gradclinic.history import WHOLE_STEP, History, RunFacts, SignalTable


def history(*, facts: RunFacts | None = None, **signals: Any) -> History:
    """Make a history of signals of whole steps; `weight_norm` of two parameters."""
    tables = {}
    for name, values in signals.items():
        rows = np.asarray(values, np.float64)
        columns = rows[:, None] if rows.ndim == 1 else rows
        subjects = (WHOLE_STEP,) if rows.ndim == 1 else ("a.weight", "a.bias")
        tables[name] = SignalTable(np.arange(len(rows), dtype=np.int64), subjects, columns)
    return History(tables, facts or RunFacts())


def test_of_a_history_without_records_nothing_is_known():
    assert read_history(history()) == Measured()


def test_norms_count_while_the_loss_was_healthy():
    found = read_history(history(loss=[1.0, 0.9, 0.8, 5.0, 0.1], grad_norm=[3.0, 2.0, 1.0, 900.0, 1e6]))
    assert found.healthy_steps == 3
    assert found.initial_grad_norm == 3.0
    assert found.grad_norm_percentile == {10: pytest.approx(1.2), 50: 2.0, 90: pytest.approx(2.8)}


@pytest.mark.parametrize("first", [np.nan, np.inf])
def test_a_training_that_began_broken_has_no_usual_norm(first):
    found = read_history(history(loss=[first, 1.0], grad_norm=[first, 1.0]))
    assert found.healthy_steps == 0
    assert found.grad_norm_percentile == {}
    assert found.initial_grad_norm is None


def test_norms_of_parameters_alone_are_put_together():
    found = read_history(history(loss=[1.0], grad_norm=[[3.0, 4.0]], weight_norm=[[6.0, 8.0]]))
    assert found.initial_grad_norm == pytest.approx(5.0)
    assert found.initial_weight_norm == pytest.approx(10.0)


@pytest.mark.parametrize(("rates", "fell_at"), [
    ([0.1, 0.05, 0.009, 0.001], 2), ([0.1, 0.001, 0.1, 0.1], None), ([0.1, 0.001, 0.1, 0.001], 3), ([0.0, 0.0], None),
    ([0.1, 0.05], None),
])  # fmt: skip
def test_a_rate_has_fallen_where_it_stays_below_a_tenth(rates, fell_at):
    assert read_history(history(lr=rates)).lr_fell_at == fell_at


@pytest.mark.parametrize(("losses", "fall"), [
    ([9, 9, 9, 9, 9, 9, 4, 4, 1, 1], 0.75), ([1, 1, 1, 1, 2], -1.0), ([1, 2], None), ([5, 5, 5, np.nan, 1], None),
    ([1, 1, 1, -1, -2], None),
])  # fmt: skip
def test_the_fall_is_that_of_the_last_fifth(losses, fall):
    assert read_history(history(loss=losses)).loss_fall == (None if fall is None else pytest.approx(fall))


def test_facts_are_taken_over():
    outcome = Outcome(train_loss=1.0, val_loss=1.0, metric=None, steps=9, best_step=4)
    facts = RunFacts(steps_planned=9, steps_per_epoch=3, batch_size=8, noise_scale=5.0, parameters=77, outcome=outcome)
    found = read_history(history(facts=facts))
    assert (found.steps, found.steps_per_epoch, found.batch_size, found.noise_scale) == (9, 3, 8, 5.0)
    assert (found.parameters, found.best_step) == (77, 4)
