"""How long a diagnosis of a stored run takes, from request to last byte, and whether a long run takes longer than a short one."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from benchmarks.databases import NO_SERVER, databases, open_store, stored_bytes
from benchmarks.results import Aim, Part, Table, spread
from benchmarks.trouble import in_words
from benchmarks.walks import walk_chunks
from gradclinic.contract.external import NewRun
from gradclinic.history import WHOLE_STEP, History, LayerFacts, RunFacts, SignalTable
from store.external import add_external_run, end_external_run
from store.histories import write_part
from store.transactions import Store
from tools.embedded import running_service

LAYERS, LONG, SHORT, REQUESTS = 1000, 100_000, 2000, 7
EVERY_STEP = ("grad_norm", "grad_nonfinite")
EVERY_TENTH = ("activation_grad_norm", "update_ratio", "weight_norm", "dead_fraction", "saturated_fraction")
OF_PARAMETERS = frozenset({"grad_norm", "grad_nonfinite", "update_ratio", "weight_norm"})
SHARES = frozenset({"dead_fraction", "saturated_fraction"})
CHUNKS_A_TRANSACTION = 8
AT_MOST_SECONDS = 1.0
DATABASES = ("SQLite", "PostgreSQL")


@dataclass(frozen=True)
class Case:
    """What there is to judge."""

    layers: int = LAYERS
    long: int = LONG
    short: int = SHORT
    requests: int = REQUESTS


Found = Mapping[str, list[float]]
"""Seconds of each request, by run (`long`, `short`)."""


def measure(*, quick: bool = False) -> Part:
    """Have a service of its own judge stored runs, on each database in turn."""
    case = Case(layers=6, long=3000, short=300, requests=2) if quick else Case()
    rows, aims, notes = [], [], []
    found: dict[str, Found | str] = {}
    with tempfile.TemporaryDirectory(prefix="gradclinic-bench-") as folder:
        for database, opened in databases(Path(folder)).items():
            found[database] = in_words(_measure_database, opened, case, Path(folder))
    for database in DATABASES:
        answers = found.get(database, NO_SERVER)
        if isinstance(answers, str):
            notes.append(answers if database not in found else f"{database}: {answers}")
            answers = {}
        else:
            rows.append([database, *(spread(answers[run]) for run in ("long", "short"))])
        for run, steps in (("long", case.long), ("short", case.short)):
            median = statistics.median(answers[run]) if answers else None
            what = f"diagnosis of {case.layers:,} layers x {steps:,} steps, {database}"
            aims.append(Aim(what=what, measured=median, unit="s", at_most=AT_MOST_SECONDS))
    title = f"A diagnosis of a run of {case.layers:,} layers: seconds from request to last byte"
    headings = ["", f"run of {case.long:,} steps", f"run of {case.short:,} steps"]
    return Part(name="judging", tables=[Table(title=title, headings=headings, rows=rows)], aims=aims, notes=notes)


def _measure_database(opened: AbstractContextManager[str], case: Case, folder: Path) -> Found:
    with opened as url:
        with open_store(url) as store:
            runs = {
                name: fill_run(store, case.layers, steps)
                for name, steps in (("long", case.long), ("short", case.short))
            }
            stored_bytes(store.engine)  # the log goes into the database: what is measured is reading
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        with running_service(folder, GRADCLINIC_DATABASE_URL=url) as service:
            for turn in range(case.requests + 1):
                for name, run_id in runs.items():
                    took = request_diagnosis(service, run_id)
                    if turn > 0:  # the first warms up
                        seconds[name].append(took)
        return seconds


def fill_run(store: Store, layers: int, steps: int) -> str:
    """Write a run that learns nothing, with every signal that rules read, on the recorder's schedules; return its id."""
    facts = RunFacts(
        layers=[
            LayerFacts(name=f"layers.{place}", type="Linear", parameters=[f"layers.{place}.weight"])
            for place in range(layers)
        ]
    )
    with store.writing() as writer:
        run = add_external_run(writer, NewRun(), facts)
    parts = recorded_parts(layers, steps)
    while several := list(islice(parts, CHUNKS_A_TRANSACTION)):
        with store.writing() as writer:
            for part in several:
                write_part(writer, run.id, part, 1)
    with store.writing() as writer:
        assert end_external_run(writer, run.id, status="succeeded", chunks=0, facts=facts, diagnosis=None)
    return run.id


def recorded_parts(layers: int, steps: int) -> Iterator[History]:
    """Yield a history chunk after chunk: a loss that stays where it is, and noisy walks for all else."""
    generator = np.random.default_rng(1)
    for chunk in walk_chunks(("norms", "shares"), layers, steps):
        at, norms = chunk["norms"].steps, chunk["norms"].values
        shares = np.minimum(chunk["shares"].values, 1.0)
        names = chunk["norms"].subjects
        losses = 2.3 + 0.05 * generator.standard_normal((len(at), 1))
        tables = {
            "loss": SignalTable(at, (WHOLE_STEP,), losses),
            "lr": SignalTable(at, (WHOLE_STEP,), 0.0 * losses + 0.1),
        }
        for signal in (*EVERY_STEP, *EVERY_TENTH):
            values = np.zeros_like(norms) if signal == "grad_nonfinite" else shares if signal in SHARES else norms
            subjects = tuple(f"{name}.weight" for name in names) if signal in OF_PARAMETERS else names
            due = slice(None) if signal in EVERY_STEP else (at < 10) | (at % 10 == 0)
            table = SignalTable(at[due], subjects, values[due])
            if signal == "grad_norm":
                whole = np.linalg.norm(norms, axis=1, keepdims=True)
                table = SignalTable(at, (WHOLE_STEP, *subjects), np.concatenate([whole, norms], axis=1))
            tables[signal] = table
        yield History(tables)


def request_diagnosis(service: str, run_id: str) -> float:
    """Have a run judged, on a connection of its own; return the seconds until the last byte.

    Raises:
        RuntimeError: The service refused.
    """
    address = urlsplit(service)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=120)
    began = time.perf_counter()
    connection.request("POST", f"/v1/runs/{run_id}/diagnosis", b"{}", {"Content-Type": "application/json"})
    response = connection.getresponse()
    body = response.read()
    seconds = time.perf_counter() - began
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"asked for a diagnosis, got {response.status}: {body[:200]!r}")
    assert json.loads(body)["health"] == "critical", "a loss that stays where it is"
    return seconds
