"""How a sweep is laid out for a terminal."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from gradclinic.contract.sweep import Sweep
from gradclinic.report import render_sweep
from tests.gradclinic.client import documents


def drawn(document: dict[str, Any], width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(render_sweep(Sweep.model_validate(document)))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    return text


def test_a_row_a_combination_and_the_best_one_named():
    text = drawn(documents.sweep(health="critical"))
    assert f"sweep {documents.SWEEP_ID}  status ended  2 succeeded" in text
    assert "learning_rate_too_high" in text
    assert "best by accuracy: 1, /optimizer/lr = 0.01" in text
    assert documents.row(1, 0.01, 0.9, "ended", "healthy")["job"] in text


def test_a_live_sweep_and_a_deleted_job_have_empty_places():
    rows = [documents.row(0, 0.1, 0.5, "live", "healthy"), documents.row(1, 0.1, 0.5, "live", "healthy")]
    rows[1] |= {"job": None, "status": None}
    text = drawn(documents.sweep("live", rows=rows))
    assert "deleted" in text
    assert "None is best" in text


def test_swept_objects_are_shortened_and_steer_no_terminal():
    axes = {"/model/layers/0": [{"type": "Linear", "out_features": 64, "name": "x" * 60}, "\x1b[31mred"]}
    rows = [documents.row(number, 0.1, 0.5, "ended", "healthy") for number in (0, 1)]
    for place, values in axes.items():
        for one, value in zip(rows, values, strict=True):
            one["values"] = {place: value}
    text = drawn(documents.sweep(rows=rows, sweep=axes))
    assert '{"type": "Linear", "out_features": 64...' in text
    assert "\x1b" not in text


def test_columns_are_headed_by_as_much_of_a_pointer_as_tells_them_apart():
    places = ["/optimizer/lr", "/training/seed", "/data/seed", "/model/layers/1", "/scheduler"]
    document = documents.sweep(sweep={place: [1] for place in places})
    for row in document["rows"]:
        row["values"] = dict.fromkeys(places, 1)
    header = next(line for line in drawn(document, 160).splitlines() if "accuracy" in line)
    assert header.split()[:5] == ["lr", "training/seed", "data/seed", "layers/1", "scheduler"]
