"""The test behind a verdict, against scipy's own and a simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gradclinic.trials.statistics import compare_pairs, corrected

NUMBERS = st.floats(-10, 10).map(lambda value: round(value, 3))


@given(st.lists(NUMBERS, min_size=3, max_size=9))
def test_it_is_scipys_paired_t_test(values):
    if np.std(values) < 1e-9:
        return
    found, expected = compare_pairs(values), stats.ttest_1samp(values, 0.0)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    interval = expected.confidence_interval(0.95)
    assert found.interval == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-9)


def test_one_pair_tests_nothing():
    assert compare_pairs([0.5]) is None


def test_equal_differences_prove_no_more_than_their_grain():
    assert compare_pairs([0.5, 0.5, 0.5]).p_value == 0.0
    coarse = compare_pairs([0.5, 0.5, 0.5], resolution=0.5)
    assert coarse.p_value == pytest.approx(2 * stats.t.sf(np.sqrt(6) * np.sqrt(3), 2))
    assert compare_pairs([0.0, 0.0, 0.0]).p_value == 1.0


@pytest.mark.parametrize(
    ("p_values", "judged", "expected"),
    [
        ({"a": 0.01, "b": 0.04, "c": 0.03}, 3, {"a": 0.03, "c": 0.06, "b": 0.06}),
        ({"a": 0.01}, 4, {"a": 0.04}),
        ({"a": 0.6, "b": 0.7}, 2, {"a": 1.0, "b": 1.0}),
    ],
)
def test_holm_corrects_for_all_that_were_judged(p_values, judged, expected):
    assert corrected(p_values, judged) == pytest.approx(expected)


def test_of_fixes_that_do_nothing_at_most_one_in_twenty_rounds_calls_any_significant():
    generator = np.random.default_rng(0)
    called = 0
    for _ in range(2000):
        tests = {name: compare_pairs(generator.normal(size=3)).p_value for name in "abcd"}
        called += min(corrected(tests, 4).values()) < 0.05
    assert called / 2000 < 0.06
