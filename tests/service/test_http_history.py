"""A history as JSON: aligned columns, buckets, selections, and numbers that JSON does not have."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import LargeBinary, func, update

from gradclinic.history import HEADER_BYTES, WHOLE_STEP, SignalTable
from gradclinic.history.codec import as_recorded
from gradclinic.history.overview import lay_out, make_cells, make_grid
from gradclinic.history.rows import Columns, Rows
from service import history_form
from service.app import HISTORY_READS
from service.history_form import write_overviews, write_rows
from store.tables import history_chunks
from tests.service.hands import Service, small_history


@pytest.fixture(scope="module")
def run_id(service: Service) -> str:
    claim = service.claim(service.post()["id"])
    service.record(claim, small_history().select(stop=5))
    service.record(claim, small_history().select(start=5))
    return claim.run_id


def ask(service: Service, run_id: str, **query: Any) -> dict[str, Any]:
    answer = service.client.get(f"/v1/runs/{run_id}/history", params=query)
    assert answer.status_code == 200, answer.text
    history: dict[str, Any] = answer.json()
    return history


class TestAligned:
    def test_all_of_it(self, service: Service, run_id: str):
        history = ask(service, run_id)
        assert list(history) == ["run", "start", "stop", "steps", "columns"]
        assert (history["run"], history["start"], history["stop"]) == (run_id, 0, 10)
        assert history["steps"] == list(range(10))
        assert history["columns"]["loss"] == [10.0 - step for step in range(10)]
        assert history["columns"]["layers.0/activation_grad_norm"] == [2.0] * 10
        assert "layers.2[1].layers.0.weight/grad_norm" in history["columns"]

    def test_what_was_not_recorded_is_null(self, service: Service, run_id: str):
        assert ask(service, run_id)["columns"]["val_loss"] == [None] * 4 + [1.0] + [None] * 4 + [1.0]

    def test_what_json_cannot_write_is_a_word(self, service: Service, run_id: str):
        columns = ask(service, run_id)["columns"]
        assert columns["layers.0.weight/grad_norm"][:3] == [1.5, "NaN", 3.5]
        assert columns["layers.0.bias/grad_norm"][1:5] == [3.5, "Infinity", "-Infinity", 6.5]

    def test_a_range_holds_its_start_and_not_its_stop(self, service: Service, run_id: str):
        history = ask(service, run_id, start=3, stop=6)
        assert (history["start"], history["stop"], history["steps"]) == (3, 6, [3, 4, 5])

    def test_a_range_ends_where_the_run_ends(self, service: Service, run_id: str):
        history = ask(service, run_id, start=8, stop=10**9)
        assert (history["stop"], history["steps"]) == (10, [8, 9])
        history = ask(service, run_id, start=500)
        assert (history["start"], history["stop"], history["steps"]) == (500, 500, [])

    def test_steps_are_those_of_the_signals_asked_for(self, service: Service, run_id: str):
        history = ask(service, run_id, signals="val_loss")
        assert (history["steps"], history["columns"]) == ([4, 9], {"val_loss": [1.0, 1.0]})

    def test_a_run_without_a_history_has_an_empty_one(self, service: Service):
        claim = service.claim(service.post()["id"])
        empty = {"run": claim.run_id, "start": 0, "stop": 0, "steps": [], "columns": {}}
        assert ask(service, claim.run_id) == empty
        assert ask(service, claim.run_id, points=3, signals="loss") == empty


class TestSelections:
    def test_signals(self, service: Service, run_id: str):
        assert list(ask(service, run_id, signals="loss, val_loss")["columns"]) == ["loss", "val_loss"]

    def test_a_layer_gives_its_own_columns_and_those_of_its_parameters(self, service: Service, run_id: str):
        columns = ask(service, run_id, layers="layers.0")["columns"]
        assert set(columns) == {
            "layers.0/activation_grad_norm",
            "layers.0.weight/grad_norm",
            "layers.0.bias/grad_norm",
        }

    def test_a_repeat_gives_all_its_turns(self, service: Service, run_id: str):
        columns = ask(service, run_id, layers="layers.2", signals="activation_grad_norm")["columns"]
        assert set(columns) == {f"layers.2[{turn}].layers.0/activation_grad_norm" for turn in (0, 1)}

    def test_a_turn_and_a_parameter_can_be_named_too(self, service: Service, run_id: str):
        columns = ask(service, run_id, layers="layers.2[1],layers.0.bias", signals="grad_norm")["columns"]
        assert set(columns) == {"layers.2[1].layers.0.weight/grad_norm", "layers.0.bias/grad_norm"}

    def test_a_known_signal_that_was_not_recorded_is_no_fault(self, service: Service, run_id: str):
        assert ask(service, run_id, signals="weight_norm,accuracy")["columns"] == {}

    @pytest.mark.parametrize(
        ("query", "place"),
        [
            ({"signals": "los"}, "/query/signals"),
            ({"layers": "layers.1"}, "/query/layers"),
            ({"layers": "layers.00"}, "/query/layers"),
            ({"layers": "layers"}, None),
            ({"start": -1}, "/query/start"),
            ({"stop": "end"}, "/query/stop"),
            ({"stop": 10**30}, "/query/stop"),
            ({"points": 0}, "/query/points"),
            ({"points": 10**6}, "/query/points"),
            ({"signal": "loss"}, "/query/signal"),
            ({"signals": "\0"}, "/query/signals"),
        ],
    )
    def test_a_wrong_parameter_is_refused_at_its_place(
        self, service: Service, run_id: str, query: dict[str, Any], place: str | None
    ):
        answer = service.client.get(f"/v1/runs/{run_id}/history", params=query)
        if place is None:
            assert answer.status_code == 200
        else:
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, place)


class TestBuckets:
    def test_each_bucket_has_minimum_maximum_and_mean(self, service: Service, run_id: str):
        history = ask(service, run_id, signals="loss", points=3)
        assert history["steps"] == [0, 4, 8]
        assert history["columns"]["loss"] == {"min": [7.0, 3.0, 1.0], "max": [10.0, 6.0, 2.0], "mean": [8.5, 4.5, 1.5]}

    def test_a_bucket_says_what_is_not_finite(self, service: Service, run_id: str):
        columns = ask(service, run_id, signals="grad_norm", points=5)["columns"]
        assert columns["layers.0.weight/grad_norm"]["min"][:2] == ["NaN", 3.5]
        assert columns["layers.0.weight/grad_norm"]["mean"][0] == "NaN"
        assert {name: values[1] for name, values in columns["layers.0.bias/grad_norm"].items()} == {
            "min": "-Infinity",
            "max": "Infinity",
            "mean": "NaN",
        }

    def test_a_bucket_without_a_record_is_null(self, service: Service, run_id: str):
        column = ask(service, run_id, signals="val_loss", points=10)["columns"]["val_loss"]
        assert column["mean"] == [None] * 4 + [1.0] + [None] * 4 + [1.0]

    def test_there_are_never_more_buckets_than_steps(self, service: Service, run_id: str):
        assert ask(service, run_id, signals="loss", points=1000)["steps"] == list(range(10))

    def test_buckets_cover_the_range_asked_for(self, service: Service, run_id: str):
        history = ask(service, run_id, signals="loss", start=2, stop=8, points=2)
        assert (history["steps"], history["columns"]["loss"]["min"]) == ([2, 4], [7.0, 3.0])


class TestNumbers:
    @given(st.lists(st.one_of(st.floats(), st.floats(width=32), st.none()), max_size=30))
    @example([0.1, float(np.float32(0.1)), 1e-40, 1e-45, 1e300, -0.0, None, math.nan, math.inf, -math.inf])
    @example([float(np.float32(0.1)), None, math.nan])
    def test_a_column_reads_back_as_it_was_recorded(self, numbers: list[float | None]):
        recorded = np.array([number is not None for number in numbers], np.bool_)
        values = np.array([math.nan if number is None else number for number in numbers], np.float64)
        columns = Columns({"loss": [WHOLE_STEP]})
        rows = Rows(np.arange(len(numbers)), values[:, None], recorded[:, None])
        form = json.loads(b"".join(write_rows("run", rows, columns, 0, len(numbers))))
        written = form["columns"]["loss"]
        assert [value is None for value in written] == [number is None for number in numbers]
        read = np.array([float(value) for value in written if value is not None])
        assert np.array_equal(as_recorded(read), as_recorded(values[recorded]), equal_nan=True)

    def test_a_float32_is_written_with_the_digits_that_it_needs(self):
        rows = Rows(
            np.arange(2), np.array([[0.1], [3e-8]]).astype(np.float32).astype(np.float64), np.ones((2, 1), bool)
        )
        text = b"".join(write_rows("run", rows, Columns({"loss": [WHOLE_STEP]}), 0, 2))
        assert b'"loss":[0.1,3e-8]' in text

    @given(st.lists(st.floats(width=64), min_size=1, max_size=40), st.integers(1, 20))
    @example([1e-40, 0.5, 1.0], 3)
    def test_buckets_are_written_as_they_are(self, values: list[float], points: int):
        table = SignalTable(np.arange(len(values)) * 3, (WHOLE_STEP, "a"), np.column_stack([values, values[::-1]]))
        stop = int(table.steps[-1]) + 1
        grid = make_grid(0, stop, points)
        overview = lay_out("loss", table.subjects, make_cells(table, grid.width), grid)
        form = json.loads(b"".join(write_overviews("run", [overview], grid.starts, 0, stop)))
        assert form["steps"] == grid.starts.tolist()
        for place, name in enumerate(("loss", "a/loss")):
            for key, numbers in (("min", overview.minimum), ("max", overview.maximum), ("mean", overview.mean)):
                written = form["columns"][name][key]
                assert [value is None for value in written] == (overview.counts == 0).tolist()
                read = np.array([math.nan if value is None else float(value) for value in written])
                assert np.array_equal(as_recorded(read), as_recorded(numbers[:, place].astype(float)), equal_nan=True)


class TestMuch:
    @pytest.fixture
    def long_run(self, service: Service) -> str:
        """A run of twenty steps, all chunks of which but the first are only a header: who unpacks them fails."""
        claim = service.claim(service.post()["id"])
        for start in (0, 10):
            service.record(claim, small_history(20).select(start=start, stop=start + 10))
        with service.store.writing() as writer:
            chunks = history_chunks.c
            later = (chunks.run_id == claim.run_id) & (chunks.first_step >= 10)
            header = func.substr(chunks.payload, 1, HEADER_BYTES, type_=LargeBinary)
            writer.connection.execute(update(history_chunks).where(later).values(payload=header))
        return claim.run_id

    @pytest.mark.parametrize(
        ("query", "most", "said"),
        [
            ({}, 199, "20 steps of 10 columns"),
            ({"stop": 15}, 149, "15 steps of 10 columns"),
            ({"layers": "layers.0"}, 59, "20 steps of 3 columns"),
            ({"signals": "loss"}, 19, "20 steps of 1 columns"),
            ({"points": 4}, 119, "4 steps of 30 columns"),
        ],
    )
    def test_it_is_refused_before_it_is_unpacked(
        self,
        service: Service,
        long_run: str,
        query: dict[str, Any],
        most: int,
        said: str,
        monkeypatch: pytest.MonkeyPatch,
    ):
        path = f"/v1/runs/{long_run}/history"
        monkeypatch.setattr(history_form, "MAX_NUMBERS", most)
        refused = service.client.get(path, params=query)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_parameter")
        assert said in refused.json()["detail"]

        monkeypatch.setattr(history_form, "MAX_NUMBERS", most + 1)
        assert service.client.get(path, params=query).status_code == 500  # it is read, and cannot be

    def test_few_are_read_at_once(self, service: Service, run_id: str, monkeypatch: pytest.MonkeyPatch):
        at_work: list[int] = []
        most: list[int] = []

        def read_slowly(*_: Any) -> Iterator[bytes]:
            for _piece in range(3):
                at_work.append(1)
                most.append(len(at_work))
                time.sleep(0.02)
                at_work.pop()
                yield b"{}"

        monkeypatch.setattr("service.routes.runs.write_history", read_slowly)
        with ThreadPoolExecutor(6) as callers:
            answers = callers.map(lambda _: service.client.get(f"/v1/runs/{run_id}/history").content, range(6))
        assert set(answers) == {b"{}{}{}"}
        assert max(most) == HISTORY_READS
