"""Records count by the steps that they stand for."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gradclinic.diagnosis.weighing import spans, weighted_median

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False) | st.just(float("nan"))


@given(st.lists(st.tuples(NUMBERS, st.integers(1, 5)), min_size=1, max_size=12))
def test_the_median_is_that_of_each_number_written_down_as_often_as_it_counts(given_: list[tuple[float, int]]):
    values, weights = np.array([value for value, _ in given_]), np.array([weight for _, weight in given_])
    written = np.repeat(values, weights)
    known = written[~np.isnan(written)]
    expected = np.median(known) if len(known) else np.nan
    np.testing.assert_allclose(weighted_median(values, weights.astype(float)), expected, rtol=1e-12, equal_nan=True)


def test_columns_are_judged_one_by_one():
    values = np.array([[1.0, np.nan], [2.0, 5.0], [3.0, 7.0]])
    assert weighted_median(values, np.array([1.0, 1.0, 4.0])).tolist() == [3.0, 7.0]


def test_a_record_stands_for_the_steps_up_to_the_next():
    assert spans(np.array([0, 1, 2, 10]), last=19).tolist() == [1, 1, 8, 10]
    assert spans(np.array([0, 1, 2, 10])).tolist() == [1, 1, 8, 1]
