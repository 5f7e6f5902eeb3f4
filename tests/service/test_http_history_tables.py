"""A history as CSV and as Arrow, streamed: the same numbers as the store has, some at a time, for whoever still listens."""

from __future__ import annotations

import csv
import io
import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import uvicorn
from pyarrow import ipc
from sqlalchemy import delete

from gradclinic.client import Client
from gradclinic.errors import GradclinicError
from gradclinic.history import WHOLE_STEP, History, SignalTable
from service import history_rows, streaming
from service.history_answer import FORMATS, write_history
from service.history_query import HistoryQuery
from store.histories import read_history
from store.tables import history_chunks
from tests.service.hands import Service, small_history

ARROW = FORMATS["arrow"]
WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def record(service: Service, *parts: History) -> str:
    claim = service.claim(service.post()["id"])
    for part in parts:
        service.record(claim, part)
    return claim.run_id


@pytest.fixture(scope="module")
def run_id(service: Service) -> str:
    return record(service, small_history().select(stop=5), small_history().select(start=5))


def scattered(steps: int = 700) -> History:
    """Signals with schedules of their own, one that ends early, one that begins late, numbers of all sizes."""
    rng = np.random.default_rng(7)
    tables = {}
    for signal, every, first, last, subjects in (
        ("loss", 1, 0, steps, (WHOLE_STEP,)),
        ("grad_norm", 1, 0, steps, (WHOLE_STEP, *(f"layers.{i}.weight" for i in range(6)))),
        ("val_loss", 50, 49, steps, (WHOLE_STEP,)),
        ("dead_fraction", 7, 3, 200, tuple(f"layers.{i}" for i in range(6))),
        ("weight_norm", 10, 400, steps, tuple(f"layers.{i}.weight" for i in range(6))),
    ):
        at = np.arange(first, last, every)
        values = 10.0 ** rng.uniform(-50, 10, (len(at), len(subjects)))
        values = np.where(values > 1e-37, values.astype(np.float32).astype(float), values)
        values[rng.random(values.shape) < 0.02] = rng.choice([math.nan, math.inf, -math.inf, 0.0])
        tables[signal] = SignalTable(at, subjects, values)
    return History(tables)


def stored(service: Service, run_id: str) -> History:
    with service.store.reading() as reader:
        return read_history(reader, run_id)


def get(service: Service, run_id: str, form: str, **query: Any) -> bytes:
    answer = service.client.get(f"/v1/runs/{run_id}/history", params=query, headers={"Accept": FORMATS[form]})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].partition(";")[0] == FORMATS[form]
    content: bytes = answer.content
    return content


def arrow_of(content: bytes) -> pa.Table:
    return ipc.open_stream(pa.py_buffer(content)).read_all()


def csv_of(content: bytes) -> dict[str, list[float | None]]:
    header, *rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert all(len(row) == len(header) for row in rows)
    numbers = [
        [None if text == "" else WORDS.get(text) if text in WORDS else float(text) for text in row] for row in rows
    ]
    return {name: [row[place] for row in numbers] for place, name in enumerate(header)}


def assert_same(left: History, right: History) -> None:
    assert set(left.tables) == set(right.tables)
    for signal, table in left.tables.items():
        assert right[signal].subjects == table.subjects
        assert right[signal].steps.tolist() == table.steps.tolist()
        assert np.array_equal(right[signal].values, table.values, equal_nan=True), signal


def assert_csv_holds(columns: dict[str, list[float | None]], history: History) -> None:
    """Compare at the precision that text has: seven digits of what a float32 holds, and all of the rest."""
    table = history.to_arrow()
    assert list(columns) == table.schema.names
    for name, column in columns.items():
        expected = table.column(name).to_pylist()
        assert [value is None for value in column] == [value is None for value in expected], name
        read = np.array([value for value in column if value is not None])
        known = np.array([value for value in expected if value is not None])
        assert np.allclose(read, known, rtol=6e-8, atol=0, equal_nan=True), name


class TestWhole:
    def test_arrow_is_the_history_of_the_store(self, service: Service, run_id: str):
        found = History.from_arrow(arrow_of(get(service, run_id, "arrow")))
        assert_same(found, stored(service, run_id))
        assert found.facts == stored(service, run_id).facts

    def test_csv_is_the_history_of_the_store(self, service: Service, run_id: str):
        assert_csv_holds(csv_of(get(service, run_id, "csv")), stored(service, run_id))

    def test_csv_says_what_is_no_number_in_words(self, service: Service, run_id: str):
        text = get(service, run_id, "csv", signals="grad_norm,val_loss").decode()
        turns = "layers.2[0].layers.0.weight/grad_norm,layers.2[1].layers.0.weight/grad_norm"
        assert text.splitlines()[:4] == [
            f"step,grad_norm,val_loss,layers.0.weight/grad_norm,layers.0.bias/grad_norm,{turns}",
            "0,0.5,,1.5,2.5,3.5,4.5",
            "1,1.5,,NaN,3.5,4.5,5.5",
            "2,2.5,,3.5,Infinity,5.5,6.5",
        ]
        assert text.endswith("\r\n")

    @pytest.mark.parametrize("query", [{"layers": "layers.0"}, {"signals": "loss"}, {"start": 3, "stop": 7}])
    def test_a_part_is_the_same_part_in_all_forms(self, service: Service, run_id: str, query: dict[str, Any]):
        form = json.loads(get(service, run_id, "json", **query))
        table, columns = arrow_of(get(service, run_id, "arrow", **query)), csv_of(get(service, run_id, "csv", **query))
        assert table.column("step").to_pylist() == columns.pop("step") == form["steps"]
        assert set(table.schema.names) - {"step"} == set(columns) == set(form["columns"])
        for name, column in form["columns"].items():
            assert str(table.column(name).to_pylist()) == str([WORDS.get(v, v) for v in column])
            assert str(columns[name]) == str([WORDS.get(v, v) for v in column])

    def test_a_run_without_a_history_has_an_empty_table(self, service: Service):
        empty = record(service)
        for query in ({}, {"points": 5}):
            assert get(service, empty, "csv", **query) == b"step\r\n"
            assert arrow_of(get(service, empty, "arrow", **query)).shape == (0, 1)


class TestInPieces:
    @pytest.mark.parametrize("cuts", [[128, 256, 384, 512, 640], [100, 228, 300, 301, 660], [350]])
    @pytest.mark.parametrize("at_once", [1, 200, 5000])
    def test_the_rows_are_all_there_however_they_are_cut(
        self, embedded: Service, monkeypatch: pytest.MonkeyPatch, cuts: list[int], at_once: int
    ):
        monkeypatch.setattr(history_rows, "NUMBERS_AT_ONCE", at_once)
        history, edges = scattered(), [0, *cuts, None]
        parts = [history.select(start=edges[i] or 0, stop=edges[i + 1]) for i in range(len(edges) - 1)]
        run = record(embedded, *parts)
        assert_same(History.from_arrow(arrow_of(get(embedded, run, "arrow"))), history)
        assert_csv_holds(csv_of(get(embedded, run, "csv")), stored(embedded, run))
        form = json.loads(get(embedded, run, "json"))
        assert form["steps"] == list(range(700))

    def test_wide_numbers_keep_their_digits(self, embedded: Service):
        values = np.array([[1e-300, 0.5], [math.pi, 0.25]])
        run = record(embedded, History({"x": SignalTable(np.arange(2), ("a", "b"), values)}))
        assert csv_of(get(embedded, run, "csv"))["a/x"] == [1e-300, math.pi]
        assert arrow_of(get(embedded, run, "arrow")).column("a/x").to_pylist() == [1e-300, math.pi]

    def test_names_are_quoted_where_they_need_it(self, embedded: Service):
        names = ('q"uote', "com,ma", "new\nline", "=1+1", "ü", "a/b")
        run = record(embedded, History({"x": SignalTable(np.arange(2), names, np.ones((2, 6)))}))
        assert list(csv_of(get(embedded, run, "csv"))) == ["step", *(f"{name}/x" for name in names)]
        assert History.from_arrow(arrow_of(get(embedded, run, "arrow")))["x"].subjects == names

    def test_little_is_read_before_the_first_piece_and_little_at_once(
        self, embedded: Service, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(history_rows, "NUMBERS_AT_ONCE", 1000)
        run = record(embedded, *(scattered(1280).select(start=at, stop=at + 128) for at in range(0, 1280, 128)))
        groups: list[int] = []
        read_chunks = history_rows.read_chunks
        monkeypatch.setattr(history_rows, "read_chunks", lambda *a: (groups.append(len(a[2])), read_chunks(*a))[1])
        pieces = write_history(embedded.store, run, HistoryQuery(), "csv")
        next(pieces)
        next(pieces)
        assert len(groups) == 1
        list(pieces)
        assert len(groups) == 10

    def test_a_run_that_is_deleted_meanwhile_ends_the_reading(self, embedded: Service, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(history_rows, "NUMBERS_AT_ONCE", 1000)
        run = record(embedded, *(scattered(640).select(start=at, stop=at + 128) for at in range(0, 640, 128)))
        pieces = write_history(embedded.store, run, HistoryQuery(), "arrow")
        next(pieces)
        next(pieces)
        with embedded.store.writing() as writer:
            writer.connection.execute(delete(history_chunks).where(history_chunks.c.run_id == run))
        with pytest.raises(GradclinicError):
            list(pieces)


@pytest.fixture(scope="module")
def long_run(service: Service) -> str:
    history = scattered()
    return record(service, *(history.select(start=at, stop=at + 128) for at in range(0, 700, 128)))


class TestPoints:
    @pytest.mark.parametrize(
        "query", [{"points": 10}, {"points": 600, "start": 20}, {"points": 7, "layers": "layers.3"}]
    )
    def test_all_forms_tell_the_same(self, service: Service, long_run: str, query: dict[str, Any]):
        form = json.loads(get(service, long_run, "json", **query))
        table = arrow_of(get(service, long_run, "arrow", **query))
        columns = csv_of(get(service, long_run, "csv", **query))
        expected = {f"{name}/{part}": column[part] for name, column in form["columns"].items() for part in column}
        assert table.column("step").to_pylist() == columns.pop("step") == form["steps"]
        assert table.schema.names[1:] == list(columns) == list(expected)
        for name, column in expected.items():
            read = [WORDS.get(value, value) for value in column]
            for found in (columns[name], table.column(name).to_pylist()):
                assert [value is None for value in found] == [value is None for value in read]
                numbers = [[math.nan if value is None else value for value in values] for values in (found, read)]
                assert np.allclose(*numbers, rtol=6e-8, atol=0, equal_nan=True)

    def test_an_overview_is_not_taken_for_a_history(self, service: Service, long_run: str):
        with pytest.raises(GradclinicError, match="points"):
            History.from_arrow(arrow_of(get(service, long_run, "arrow", points=5)))


class TestAsking:
    def test_the_query_counts_more_than_the_header(self, service: Service, run_id: str):
        path = f"/v1/runs/{run_id}/history"
        answer = service.client.get(path, params={"format": "csv"}, headers={"Accept": ARROW})
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert answer.headers["Vary"] == "Accept"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{run_id}.csv"'

    def test_json_is_what_comes_without_a_word(self, service: Service, run_id: str):
        answer = service.client.get(f"/v1/runs/{run_id}/history", headers={"Accept": "*/*"})
        assert answer.headers["Content-Type"] == "application/json"
        assert "Content-Disposition" not in answer.headers

    def test_a_form_that_there_is_not_is_a_406_that_names_those_that_are(self, service: Service, run_id: str):
        answer = service.client.get(f"/v1/runs/{run_id}/history", headers={"Accept": "text/html"})
        assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
        assert all(form in answer.json()["detail"] for form in FORMATS.values())

    def test_a_wrong_format_is_refused_at_its_place(self, service: Service, run_id: str):
        answer = service.client.get(f"/v1/runs/{run_id}/history", params={"format": "xlsx"})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/query/format")

    @pytest.mark.parametrize("form", ["csv", "arrow"])
    def test_what_is_wrong_is_told_before_the_answer_begins(self, service: Service, run_id: str, form: str):
        path = f"/v1/runs/{run_id}/history"
        assert service.client.get(path, params={"format": form, "signals": "los"}).status_code == 422
        assert service.client.get("/v1/runs/none/history", params={"format": form}).status_code == 404


@pytest.fixture(scope="module")
def address(embedded: Service) -> Iterator[tuple[str, int]]:
    """A real server on a real socket, for what only they can show."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(embedded.app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listening.getsockname()
    server.should_exit = True
    thread.join()
    listening.close()


@pytest.fixture(scope="module")
def wide_run(embedded: Service) -> str:
    """Five million numbers: more than any buffer between the two ends holds."""
    names = tuple(f"layers.{place}" for place in range(1000))
    rng = np.random.default_rng(1)
    values = rng.random((128, 1000)).astype(np.float32).astype(np.float64)
    parts = (History({"grad_norm": SignalTable(np.arange(at, at + 128), names, values)}) for at in range(0, 5120, 128))
    return record(embedded, *parts)


class TestOnASocket:
    def test_the_client_reads_it_back(self, embedded: Service, address: tuple[str, int]):
        run = record(embedded, scattered())
        with Client("http://{}:{}".format(*address)) as client:
            assert_same(History.from_arrow(client.history_as_arrow(run)), stored(embedded, run))
            table = client.history_as_arrow(run, signals=["loss"], start=10, stop=20)
            assert (table.schema.names, table.num_rows) == (["step", "loss"], 10)
            assert client.history_as_arrow(run, signals=["val_loss"], points=4).schema.names[1] == "val_loss/min"
            with client.stream_history(run, "csv", layers=["layers.1"]) as pieces:
                assert len(csv_of(b"".join(pieces))["step"]) == 700
            with pytest.raises(GradclinicError, match="no signal 'los'"):
                client.history_as_arrow(run, signals=["los"])

    def test_who_goes_away_is_read_for_no_longer(
        self, embedded: Service, address: tuple[str, int], wide_run: str, monkeypatch: pytest.MonkeyPatch
    ):
        reads: list[int] = []
        read_chunks = history_rows.read_chunks
        monkeypatch.setattr(history_rows, "read_chunks", lambda *a: (reads.append(1), read_chunks(*a))[1])
        turns = embedded.app.state.history_reads
        for _ in range(3):  # one more than may be at it at once
            with asking(address, wide_run):
                time.sleep(0.3)  # it takes no more: the service has to wait for it, and holds nobody up meanwhile
                assert (turns.pieces.borrowed_tokens, turns.answers.borrowed_tokens) == (0, 1)
            assert comes_true(lambda: turns.answers.borrowed_tokens == 0)
        deadline = time.monotonic() + 10
        counts = [-1, len(reads)]
        while counts[-1] != counts[-2] and time.monotonic() < deadline:
            time.sleep(0.3)
            counts.append(len(reads))
        assert 3 <= len(reads) < 3 * 20
        assert service_answers(embedded, wide_run)

    def test_who_takes_nothing_is_given_up(
        self, embedded: Service, address: tuple[str, int], wide_run: str, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(streaming, "PIECE_SECONDS", 0.2)
        turns = embedded.app.state.history_reads
        with asking(address, wide_run):
            assert turns.answers.borrowed_tokens == 1
            assert comes_true(lambda: turns.answers.borrowed_tokens == 0)
        assert service_answers(embedded, wide_run)


@contextmanager
def asking(address: tuple[str, int], run_id: str) -> Iterator[None]:
    """Ask for a long history, take its beginning, and nothing more."""
    with closing(socket.create_connection(address)) as caller:
        host = "{}:{}".format(*address)
        caller.sendall(f"GET /v1/runs/{run_id}/history?format=csv HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert caller.recv(1000).startswith(b"HTTP/1.1 200")
        yield


def comes_true(said: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not said() and time.monotonic() < deadline:
        time.sleep(0.02)
    return said()


def service_answers(service: Service, run_id: str) -> bool:
    return bool(get(service, run_id, "arrow", stop=1))
