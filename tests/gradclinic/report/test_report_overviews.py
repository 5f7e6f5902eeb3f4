"""One history gives one picture, whether it was recorded here or read from a service, and its ends are what was recorded."""

from __future__ import annotations

import numpy as np
import pytest

from gradclinic.cli.overviews import read_overview
from gradclinic.client import Client
from gradclinic.history import WHOLE_STEP, History, SignalTable
from gradclinic.history.overview import lay_out, make_cells, make_grid
from gradclinic.history.rows import align, find_columns
from gradclinic.report import POINTS, Overview, overview_of_history
from service.history_form import write_overviews, write_rows
from tests.gradclinic.client.stub_service import Answer, stub_service

PATH = "/v1/runs/r/history"
LAYERS = ("layers.0", "layers.2")


def history(steps: int, every: int = 1) -> History:
    random = np.random.default_rng(steps)
    loss = 2.0 + random.normal(size=(steps, 1))
    recorded = np.arange(0, steps, every)
    norms = random.lognormal(size=(len(recorded), 1 + 2 * len(LAYERS)))
    subjects = (WHOLE_STEP, *(f"{layer}.{own}" for layer in LAYERS for own in ("weight", "bias")))
    return History(
        {
            "loss": SignalTable(np.arange(steps), (WHOLE_STEP,), loss),
            "grad_norm": SignalTable(recorded, subjects, norms),
        }
    )


def served(history: History, steps: int) -> tuple[Overview, list[str]]:
    """Read the overview over a socket from the service's own form of the history."""

    def form(start: int, stop: int, points: int | None) -> str:
        part = history.select(start=start, stop=stop)
        if points is None:
            columns = find_columns([part])
            pieces = write_rows("r", align(list(part.tables.items()), columns), columns, start, stop)
        else:
            grid = make_grid(start, stop, points)
            overviews = [
                lay_out(signal, table.subjects, make_cells(table, grid.width), grid)
                for signal, table in part.tables.items()
            ]
            pieces = write_overviews("r", overviews, grid.starts, start, stop)
        return b"".join(pieces).decode()

    answers = [form(0, steps, POINTS), form(0, 1, None), form(steps - 1, steps, None)]
    with stub_service() as stub, Client(stub.url) as client:
        stub.on("GET", PATH, *(Answer(200, answer) for answer in answers))
        return read_overview(client, "r"), [asked.query for asked in stub.asked]


@pytest.mark.parametrize("steps", [1, 2, POINTS, POINTS + 1, 400, 1003])
@pytest.mark.parametrize("every", [1, 7])
def test_a_run_here_and_at_a_service_look_alike(steps: int, every: int):
    recorded = history(steps, every)
    here = overview_of_history(recorded)
    there, _ = served(recorded, steps)
    assert there.loss == pytest.approx(here.loss, rel=1e-6)  # means have the digits of a float32
    assert there.gradients == pytest.approx(here.gradients, rel=1e-6)
    assert there.stretches == here.stretches
    assert there.ends == pytest.approx(here.ends, rel=1e-6)


def test_the_ends_are_what_was_recorded_and_no_means():
    recorded = history(400)
    losses = recorded["loss"].series()
    overview, asked = served(recorded, 400)
    assert overview.ends == (losses[0], losses[-1])
    assert overview.stretches == len(make_grid(0, 400, POINTS).starts) <= POINTS
    assert [query.partition("&")[2] for query in asked[1:]] == ["start=0&stop=1", "start=399&stop=400"]


def test_a_short_run_is_read_at_once():
    assert len(served(history(POINTS), POINTS)[1]) == 1
