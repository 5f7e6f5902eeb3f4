"""How a spec that is right is shown: what its training will take, and its history."""

import re

import pytest
from rich.console import Console

from gradclinic.contract.parse import parse_spec
from gradclinic.model import resolve_spec
from gradclinic.report.resolved import render_resolved

SPEC = {
    "model": {"layers": [{"type": "Linear", "out_features": 3}]},
    "data": {"type": "iris"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
}


def test_how_large_a_run_gets_is_told_before_it_starts():
    short, long = (resolve_spec(parse_spec(SPEC | {"training": {"steps": steps}})) for steps in (100, 100_000))
    console = Console(width=200)
    with console.capture() as shown:
        console.print(render_resolved(long))

    assert 2 * long.history_numbers < long.history_bytes < 4 * long.history_numbers
    assert long.history_bytes > 100 * short.history_bytes
    told = re.search(r"a history of at most ([\d.]+) ([kM]) numbers", shown.get())
    assert told is not None
    assert float(told[1]) * {"k": 1e3, "M": 1e6}[told[2]] == pytest.approx(long.history_numbers, rel=0.01)
    assert f"about {long.history_bytes / 1e6:.3g} MB in the database" in shown.get()


@pytest.mark.parametrize(
    ("verification", "told"),
    [
        ({}, "at most the cost of 14 such trainings"),
        ({"budget": 5}, "at most the cost of 5 such trainings"),
        ({"fixes": "all"}, "as many trainings as all fixes need"),
        ({"fixes": 0}, "no fixes are proven"),
    ],
)
def test_what_a_proof_may_cost_is_told_before_it_starts(verification, told):
    console = Console(width=200)
    with console.capture() as shown:
        console.print(render_resolved(resolve_spec(parse_spec(SPEC | {"verification": verification}))))
    assert told in shown.get()
