"""Cells: what they hold of the rows, how they merge, and how they are packed."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gradclinic.errors import InvalidHistory
from gradclinic.history import SignalTable
from gradclinic.history.overview import (
    OVERVIEW_HEADER_BYTES,
    Cells,
    Grid,
    cell_steps,
    decode_cells,
    encode_cells,
    fingerprint,
    lay_out,
    level_of,
    make_cells,
    make_grid,
    merge_cells,
    peek_fingerprint,
)

SUBJECTS = ("a", "b")
MARK = fingerprint(SUBJECTS)


def table(values, steps=None):
    values = np.asarray(values, np.float64).reshape(-1, 2)
    return SignalTable(np.arange(len(values)) if steps is None else np.asarray(steps, np.int64), SUBJECTS, values)


def same(one: Cells, other: Cells) -> None:
    for name in ("starts", "counts", "minimum", "maximum"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-6)


tables = st.integers(1, 300).flatmap(
    lambda rows: st.builds(
        table,
        hnp.arrays(np.float64, (rows, 2), elements=st.floats(1e-30, 1e30)),
        st.lists(st.integers(0, 700), min_size=rows, max_size=rows, unique=True).map(sorted),
    )
)


@given(tables, st.sampled_from([1, 3, 32, 128]), st.lists(st.integers(0, 700), max_size=5).map(sorted))
def test_cells_that_were_cut_anywhere_merge_to_what_the_whole_gives(whole, width, cuts):
    pieces = [whole.between(start, stop) for start, stop in zip([0, *cuts], [*cuts, 10**6], strict=True)]
    cells = [make_cells(piece, width) for piece in pieces]
    for factor in (1, 2, 4, 7):
        same(merge_cells(cells, factor * width), make_cells(whole, factor * width))


def test_a_cell_has_minimum_maximum_and_mean_of_its_rows():
    cells = make_cells(table([1, 8, 3, 8, 5, 8, 7, -8], [30, 31, 32, 100]), 32)
    assert cells.starts.tolist() == [0, 32, 96]
    assert cells.counts.tolist() == [2, 1, 1]
    assert cells.minimum.tolist() == [[1, 8], [5, 8], [7, -8]]
    assert cells.maximum.tolist() == [[3, 8], [5, 8], [7, -8]]
    assert cells.mean.tolist() == [[2, 8], [5, 8], [7, -8]]


def test_a_nan_is_seen_in_all_three_and_an_infinity_stays():
    cells = merge_cells([make_cells(table([np.nan, np.inf, 1, 2, 3, -1, 4, 5]), 2)], 4)
    assert np.isnan([cells.minimum[0, 0], cells.maximum[0, 0], cells.mean[0, 0]]).all()
    assert (cells.minimum[0, 1], cells.maximum[0, 1], cells.mean[0, 1]) == (-1, np.inf, np.inf)


@pytest.mark.parametrize("number", [1.7e308, -1.7e308, np.finfo(np.float64).max])
def test_the_mean_of_the_largest_numbers_does_not_overflow(number):
    cells = make_cells(table([number, 1e308] * 64), 32)
    for found in (cells, merge_cells([cells], 64), decode_cells(encode_cells(cells, MARK))):
        np.testing.assert_allclose(found.mean[:, 0], number)
        np.testing.assert_allclose(found.mean[:, 1], 1e308)


@given(hnp.arrays(np.float64, st.tuples(st.integers(0, 9), st.just(2)), elements=st.floats()))
def test_packed_cells_come_back_exactly_but_for_the_means_last_digits(values):
    cells = make_cells(table(values, np.arange(len(values)) * 100), 32)
    packed = encode_cells(cells, MARK)
    back = decode_cells(packed)
    np.testing.assert_array_equal(back.starts, cells.starts)
    np.testing.assert_array_equal(back.counts, cells.counts)
    np.testing.assert_array_equal(back.minimum, values)
    np.testing.assert_array_equal(back.maximum, values)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(back.mean, values, rtol=1e-7)
    assert peek_fingerprint(packed[:OVERVIEW_HEADER_BYTES]) == MARK


@given(st.binary(max_size=80))
def test_bytes_of_others_are_refused_if_they_cannot_be_read(packed):
    good = encode_cells(make_cells(table(np.ones(80)), 32), MARK)
    for bad in (packed, good[: len(packed)], good[:2] + packed + good[2 + len(packed) :]):
        if bad != good:
            with contextlib.suppress(InvalidHistory):  # and nothing else is raised
                decode_cells(bad)


@pytest.mark.parametrize("place", [0, 1, 2, 6])
def test_sizes_that_do_not_fit_are_refused(place):
    packed = bytearray(encode_cells(make_cells(table(np.ones(80)), 32), MARK))
    packed[place] ^= 0x40
    with pytest.raises(InvalidHistory):
        decode_cells(bytes(packed))


@given(st.integers(0, 2**31), st.integers(0, 10**6), st.integers(1, 1000))
def test_a_grid_has_as_many_buckets_as_were_asked_for_at_most(start, span, points):
    grid = make_grid(start, start + span, points)
    starts = grid.starts
    level = level_of(span / points)
    assert len(starts) <= points
    assert grid.width % (1 if level is None else cell_steps(level)) == 0
    if span:
        assert starts[0] == start
        assert (starts[1:] % grid.width == 0).all()
        assert (np.diff(starts) > 0).all()
        assert start + span - starts[-1] <= grid.width
        assert len(starts) >= points / 6 or grid.width == 1


def test_levels_are_of_32_steps_and_four_times_as_many_each():
    assert [level_of(steps) for steps in (0, 1, 31.9, 32, 127, 128, 511, 2048)] == [None, None, None, 0, 0, 1, 1, 3]


def test_a_bucket_is_filled_by_cells_of_one_level():
    widths = (1, 31, 32, 96, 128, 160, 256, 512, 640)
    assert [Grid(0, 1000, width).level for width in widths] == [None, None, 0, 0, 1, 0, 1, 2, 1]


def test_what_was_not_recorded_is_a_gap():
    grid = make_grid(0, 300, 3)
    found = lay_out("loss", SUBJECTS, make_cells(table([1, 2, 3, 4], [5, 290]), grid.width), grid)
    assert found.starts.tolist() == [0, 128, 256]
    assert found.counts.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(found.mean, np.array([[1, 2], [np.nan, np.nan], [3, 4]]))
