"""Packing tables: nothing is lost, nothing foreign is read."""

import json
import struct

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gradclinic.errors import InvalidHistory
from gradclinic.history import HEADER_BYTES, SignalTable, decode_table, encode_table, peek_table
from gradclinic.history.codec import MAX_DECODED, as_recorded, decode_subjects


def table(values, start=0):
    values = np.asarray(values, np.float64)
    return SignalTable(
        np.arange(start, start + len(values)), tuple(f"layers.{i}" for i in range(values.shape[1])), values
    )


@given(hnp.arrays(np.float64, st.tuples(st.integers(0, 12), st.integers(0, 5)), elements=st.floats()))
def test_any_table_comes_back_as_it_was(values):
    packed = encode_table(table(values, start=7))
    back = decode_table(packed)
    assert np.array_equal(back.values, values, equal_nan=True)
    assert np.array_equal(np.signbit(back.values), np.signbit(values)) or np.isnan(values).any()
    assert back.steps.tolist() == list(range(7, 7 + len(values)))
    assert back.subjects == table(values).subjects


@given(hnp.arrays(np.float64, 20, elements=st.floats(min_value=0, allow_infinity=True)))
def test_recorded_numbers_keep_seven_digits_wherever_they_lie(values):
    recorded = as_recorded(values)
    finite = np.isfinite(values)
    assert np.array_equal(recorded[~finite], values[~finite], equal_nan=True)
    assert np.allclose(recorded[finite], values[finite], rtol=1e-6, atol=0)


def test_ordinary_numbers_take_four_bytes_at_most_before_compression():
    smooth = as_recorded(10 ** np.linspace(-8, 2, 100 * 60).reshape(100, 60))
    assert len(encode_table(table(smooth))) < 4 * smooth.size


def test_the_norm_that_float32_cannot_hold_is_kept():
    values = [[1e39, 1e-44, 5.0]]
    assert decode_table(encode_table(table(values))).values.tolist() == values


@pytest.mark.parametrize("cut", [0, 3, 10, 20, -1])
def test_bytes_that_were_cut_are_refused(cut):
    packed = encode_table(table(np.ones((30, 3))))
    with pytest.raises(InvalidHistory):
        decode_table(packed[:cut])


def test_a_version_that_is_not_known_is_refused():
    with pytest.raises(InvalidHistory, match="version"):
        decode_table(b"\x09" + encode_table(table(np.ones((2, 2))))[1:])


@given(st.integers(0, 300), st.integers(0, 9))
def test_the_size_can_be_told_from_the_first_bytes(steps, subjects):
    packed = encode_table(table(np.ones((steps, subjects))))
    assert peek_table(packed[:HEADER_BYTES]) == (steps, subjects)


@pytest.mark.parametrize("packed", [b"", b"\x01\x04", b"\x09" + bytes(30)])
def test_there_is_no_size_of_what_is_no_packed_table(packed):
    with pytest.raises(InvalidHistory):
        peek_table(packed)


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 5)), elements=st.floats(width=32)))
def test_a_table_of_version_1_can_still_be_read(values):
    """It has the values themselves, shuffled, where version 2 has differences."""
    steps = np.diff(np.arange(7, 7 + len(values)), prepend=0).astype("<i8")
    planes = [
        np.ascontiguousarray(part.view(np.uint8).reshape(-1, part.itemsize).T) for part in (steps, values.T.copy())
    ]
    names = json.dumps(table(values).subjects).encode()
    frame = zstandard.ZstdCompressor().compress(b"".join(plane.tobytes() for plane in planes) + names)
    packed = struct.pack("<BBII", 1, 4, *values.shape) + frame
    back = decode_table(packed)
    assert np.array_equal(back.values, values, equal_nan=True)
    assert back.steps.tolist() == list(range(7, 7 + len(values)))
    assert back.subjects == decode_subjects(packed) == table(values).subjects
    assert peek_table(packed) == values.shape


def test_a_table_that_claims_to_unfold_to_more_than_any_is_refused_before_it_does():
    bomb = zstandard.ZstdCompressor().compress(bytes(MAX_DECODED + 1))
    with pytest.raises(InvalidHistory, match="unfolds to"):
        decode_table(struct.pack("<BBII", 2, 4, 1, 1) + bomb)


def test_neighbours_that_are_alike_take_three_bytes_at_most():
    noise = np.random.default_rng(0).normal(size=(128, 200))
    values = as_recorded(np.exp(np.linspace(-9, 1, 200)) * (1 + 0.15 * noise))
    assert len(encode_table(table(values))) < 3 * values.size
