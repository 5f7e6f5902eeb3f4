"""A history as JSON: aligned columns, buckets, selections, and numbers that JSON does not have."""

from __future__ import annotations

import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import LargeBinary, func, update

from gradclinic.history import HEADER_BYTES, WHOLE_STEP, History, SignalTable
from service import history_form
from service.app import HISTORY_READS
from service.errors import InvalidParameter
from service.history_form import write_history
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
        assert history["steps"] == [0, 3, 6]
        assert history["columns"]["loss"] == {"min": [8.0, 5.0, 1.0], "max": [10.0, 7.0, 4.0], "mean": [9.0, 6.0, 2.5]}

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
        assert (history["steps"], history["columns"]["loss"]["min"]) == ([2, 5], [6.0, 3.0])

    @given(
        st.lists(st.floats(width=64), min_size=1, max_size=60),
        st.integers(1, 70),
        st.integers(1, 3),
    )
    @example([1.2e308] * 3, 1, 1)
    def test_they_are_what_a_plain_loop_finds(self, values: list[float], points: int, every: int):
        steps = np.arange(len(values)) * every
        history = History({"loss": SignalTable(steps, (WHOLE_STEP,), np.array(values)[:, None])})
        form = json.loads(write_history("run", [history], 0, int(steps[-1]) + 1, points))
        edges = [*form["steps"], form["stop"]]
        for place in range(len(form["steps"])):
            inside = [v for s, v in zip(steps, values, strict=True) if edges[place] <= s < edges[place + 1]]
            found = {name: numbers[place] for name, numbers in form["columns"]["loss"].items()}
            if not inside:
                assert set(found.values()) == {None}
                continue
            assert float(found["min"]) == pytest.approx(np.min(inside), nan_ok=True)
            assert float(found["max"]) == pytest.approx(np.max(inside), nan_ok=True)
            if np.all(np.isfinite(inside)):
                mean = math.fsum(value / len(inside) for value in inside)
                cancelled = 1e-12 * max(map(abs, inside)) + 1e-300
                assert float(found["mean"]) == pytest.approx(mean, rel=1e-9, abs=cancelled)


def test_too_much_for_one_answer_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(history_form, "MAX_NUMBERS", 50)
    with pytest.raises(InvalidParameter, match="10 steps of 10 columns") as caught:
        write_history("run", [small_history()], 0, 10, None)
    assert "points" in str(caught.value.faults[0].expected)


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

        def read_slowly(*_: Any) -> str:
            at_work.append(1)
            most.append(len(at_work))
            time.sleep(0.05)
            at_work.pop()
            return "{}"

        monkeypatch.setattr("service.routes.runs.answer_query", read_slowly)
        with ThreadPoolExecutor(6) as callers:
            answers = callers.map(lambda _: service.client.get(f"/v1/runs/{run_id}/history").status_code, range(6))
        assert set(answers) == {200}
        assert max(most) == HISTORY_READS
