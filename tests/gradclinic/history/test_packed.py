"""The packed form of a part: the same comes back, and no bytes whatever do more than be refused."""

from __future__ import annotations

import contextlib
import json
import struct
import tracemalloc

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gradclinic.contract.external import MAX_CHUNK_NUMBERS, MAX_COLUMNS, MAX_SIGNALS
from gradclinic.errors import InvalidHistory
from gradclinic.history import History, SignalTable, encode_table
from gradclinic.history.packed import MAGIC, MAX_HEADER_BYTES, MAX_NAMES_BYTES, pack_part, unpack_part

FACTS = {"optimizer": "SGD"}


def table_of(steps: int = 3, subjects: tuple[str, ...] = ("a", "b")) -> SignalTable:
    values = np.arange(steps * len(subjects), dtype=float).reshape(steps, len(subjects)) / 3
    return SignalTable(np.arange(steps), subjects, values)


def packed(header: object, rest: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return MAGIC + struct.pack("<I", len(text)) + text + rest


def raw_table(body: bytes, n_steps: int, n_subjects: int, width: int = 8, *, says_size: bool = True) -> bytes:
    compressor = zstandard.ZstdCompressor(write_content_size=says_size)
    return struct.pack("<BBII", 1, width, n_steps, n_subjects) + compressor.compress(body)


def with_table(table: bytes) -> bytes:
    return packed({"tables": [["loss", len(table)]]}, table)


def test_what_is_unpacked_is_what_was_packed():
    values = np.array([[np.nan, np.inf], [-np.inf, 1e-310], [0.1, -0.0]])
    part = History({"grad_norm": SignalTable(np.array([0, 5, 7]), ("", "ü/ä.weight"), values), "loss": table_of()})
    tables, facts = unpack_part(pack_part(part, FACTS))
    assert list(tables) == ["grad_norm", "loss"]
    assert facts == FACTS
    for signal, table in part.tables.items():
        assert tables[signal].subjects == table.subjects
        assert tables[signal].steps.tolist() == table.steps.tolist()
        assert tables[signal].values.tobytes() == table.values.tobytes()


def test_without_facts_there_are_none_and_empty_tables_are_left_out():
    empty = SignalTable(np.empty(0, np.int64), ("a",), np.empty((0, 1)))
    tables, facts = unpack_part(pack_part(History({"loss": empty, "lr": table_of()})))
    assert (list(tables), facts) == (["lr"], None)


@given(st.binary(max_size=400))
def test_random_bytes_are_refused(body: bytes):
    with pytest.raises(InvalidHistory):
        unpack_part(body)


@settings(max_examples=300)
@given(st.data())
def test_damaged_bodies_are_refused_or_read(data: st.DataObject):
    body = bytearray(pack_part(History({"loss": table_of(), "lr": table_of(5, ("",))}), FACTS))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place] = data.draw(st.integers(0, 255))
    try:
        tables, _ = unpack_part(bytes(body[: data.draw(st.integers(0, len(body)))]))
    except InvalidHistory:
        return
    assert all(isinstance(table, SignalTable) for table in tables.values())


@given(
    st.binary(max_size=300),
    st.integers(0, 2**32 - 1) | st.integers(0, 6),
    st.integers(0, 2**32 - 1) | st.integers(0, 6),
    st.sampled_from([4, 8, 0, 255]),
    st.booleans(),
)
def test_tables_whose_counts_lie_are_refused_or_read(
    body: bytes, n_steps: int, n_subjects: int, width: int, said: bool
):
    with contextlib.suppress(InvalidHistory):
        unpack_part(with_table(raw_table(body, n_steps, n_subjects, width, says_size=said)))


@pytest.mark.parametrize("names", [b"5", b"{}", b"[1]", b"[[", b"[" * 100_000, b"\xff", b'["a", "b"]', b""])
def test_names_that_are_no_list_of_one_name_are_refused(names: bytes):
    with pytest.raises(InvalidHistory):
        unpack_part(with_table(raw_table(bytes(16) + names, 1, 1)))


def test_bombs_take_no_memory():
    """A frame may say that it needs gigabytes, and a library that believes it would take them."""
    bomb = raw_table(bytes(50_000_000), 1, 1)
    assert len(bomb) < 10_000
    counted = raw_table(bytes(64), 2**32 - 1, 2**32 - 1)
    silent = raw_table(bytes(50_000_000), 1, 1, says_size=False)
    huge_header = MAGIC + struct.pack("<I", 2**32 - 1)
    # Single segment, eight bytes of content size: 2^40.
    declared = struct.pack("<BBII", 1, 8, 1, 1) + struct.pack("<IBQ", 0xFD2FB528, 0b11100000, 2**40) + b"\x01\x00\x00"
    tracemalloc.start()
    try:
        for body in (with_table(bomb), with_table(counted), with_table(silent), huge_header, with_table(declared)):
            with pytest.raises(InvalidHistory):
                unpack_part(body)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_long_names_in_many_tables_take_no_memory():
    """Each of them may be as long as all together."""
    table = raw_table(bytes(16) + b'["%b"]' % (b"a" * (MAX_NAMES_BYTES // 2)), 1, 1)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidHistory, match="names, of which a chunk may have 8,388,608 bytes"):
            unpack_part(packed({"tables": [[f"s{n}", len(table)] for n in range(MAX_SIGNALS)]}, table * MAX_SIGNALS))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    tables, _ = unpack_part(with_table(table))
    assert [len(subject) for subject in tables["loss"].subjects] == [MAX_NAMES_BYTES // 2]


def test_what_is_too_much_is_refused_with_figure_and_limit():
    wide = raw_table(bytes(64), 1, MAX_COLUMNS + 1)
    with pytest.raises(InvalidHistory, match=r"100,001 columns .* 100,000"):
        unpack_part(with_table(wide))
    long = raw_table(bytes(64), MAX_CHUNK_NUMBERS + 1, 1)
    with pytest.raises(InvalidHistory, match=r"4,000,001 numbers.* 4,000,000"):
        unpack_part(with_table(long))
    one = encode_table(table_of(1, ("",)))
    many = packed({"tables": [[f"s{n}", len(one)] for n in range(MAX_SIGNALS + 1)]}, one * (MAX_SIGNALS + 1))
    with pytest.raises(InvalidHistory, match="201 tables"):
        unpack_part(many)
    with pytest.raises(InvalidHistory, match="header"):
        unpack_part(packed(b" " * (MAX_HEADER_BYTES + 1)))


@pytest.mark.parametrize(
    "header",
    [
        b"[]", b"{", b"null", b'{"tables": 1}', b'{"tables": [1]}', b'{"tables": [["loss", 11.0]]}', b"[" * 5000,
        b'{"tables": [["loss", -5]]}', b'{"tables": [["loss", 100000]]}', b'{"tables": [], "more": 1}',
        b'{"tables": [["loss", true]]}', b'{"tables": NaN}', b'{"a":1,"a":1}',
    ],
)  # fmt: skip
def test_headers_that_are_none_are_refused(header: bytes):
    with pytest.raises(InvalidHistory):
        unpack_part(packed(header, bytes(40)))


def test_what_is_left_over_or_comes_twice_is_refused():
    body = pack_part(History({"loss": table_of()}))
    with pytest.raises(InvalidHistory, match="after the last table"):
        unpack_part(body + b"x")
    one = encode_table(table_of())
    with pytest.raises(InvalidHistory, match="two tables"):
        unpack_part(packed({"tables": [["loss", len(one)]] * 2}, one * 2))
