"""How long an overview of a run takes, from request to last byte, and whether a long run takes longer than a short one."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa

from benchmarks.databases import NO_SERVER, claim_run, databases, open_store, stored_bytes
from benchmarks.results import Aim, Part, Table, spread
from benchmarks.trouble import in_words
from benchmarks.walks import walk_chunks
from store.histories import add_chunk
from store.transactions import Store
from tools.embedded import running_service

LAYERS, LONG, SHORT, POINTS, REQUESTS = 1000, 100_000, 2000, 500, 15
SIGNAL = "activation_grad_norm"
CHUNKS_A_TRANSACTION = 16
AT_MOST_MS, AT_MOST_RATIO = 100.0, 1.5
DATABASES = ("SQLite", "PostgreSQL")
FORMS = {"JSON": "application/json", "Arrow": "application/vnd.apache.arrow.stream"}
MILLI = 1e3


@dataclass(frozen=True)
class Case:
    """What there is to ask for."""

    layers: int = LAYERS
    long: int = LONG
    short: int = SHORT
    requests: int = REQUESTS


@dataclass
class Answers:
    """Seconds of the same request, again and again, and the bytes of one answer."""

    seconds: list[float] = field(default_factory=list)
    size: int = 0


Found = Mapping[tuple[str, str], Answers]
"""By run (`long`, `short`) and form."""


def measure(*, quick: bool = False) -> Part:
    """Ask a service of its own for overviews, on each database in turn."""
    case = Case(layers=3, long=2000, short=200, requests=2) if quick else Case()
    found: dict[str, Found | str] = {}
    rows, aims, notes = [], [], []
    with tempfile.TemporaryDirectory(prefix="gradclinic-bench-") as folder:
        for database, opened in databases(Path(folder)).items():
            found[database] = in_words(_measure_database, opened, case, Path(folder))
    for database in DATABASES:
        answers = found.get(database, NO_SERVER)
        if isinstance(answers, str):
            notes.append(answers if database not in found else f"{database}: {answers}")
            answers = {}
        rows += _rows(database, answers)
        aims += _aims(database, answers)
    title = f"An overview of one signal of {case.layers:,} layers in {POINTS} buckets: ms from request to last byte"
    headings = ["", f"run of {case.long:,} steps", f"run of {case.short:,} steps", "MB of the answers"]
    return Part(name="overview", tables=[Table(title=title, headings=headings, rows=rows)], aims=aims, notes=notes)


def _measure_database(opened: AbstractContextManager[str], case: Case, folder: Path) -> Found:
    with opened as url:
        return _measure_answers(url, case, folder)


def _measure_answers(url: str, case: Case, folder: Path) -> Found:
    with open_store(url) as store:
        runs = {
            name: fill_run(store, case.layers, steps) for name, steps in (("long", case.long), ("short", case.short))
        }
        stored_bytes(store.engine)  # the log goes into the database: what is measured is reading, not a late checkpoint
    found = {(name, form): Answers() for form in FORMS for name in runs}
    with running_service(folder, GRADCLINIC_DATABASE_URL=url) as service:
        for turn in range(case.requests + 1):
            for (name, form), answers in found.items():
                seconds, body = request_overview(service, runs[name], FORMS[form])
                if turn == 0:  # the first warms up, and is looked at
                    _check(body, form, case.layers)
                    answers.size = len(body)
                else:
                    answers.seconds.append(seconds)
    return found


def fill_run(store: Store, layers: int, steps: int) -> str:
    """Write a run of one signal through the store, many chunks a transaction; return its id."""
    claim = claim_run(store, steps)
    chunks = walk_chunks((SIGNAL,), layers, steps)
    while several := list(islice(chunks, CHUNKS_A_TRANSACTION)):
        with store.writing() as writer:
            for chunk in several:
                add_chunk(writer, claim, chunk)
    return claim.run_id


def request_overview(service: str, run_id: str, form: str) -> tuple[float, bytes]:
    """Ask for an overview on a connection of its own; return the seconds until its last byte, and its body.

    Raises:
        RuntimeError: The service refused, or answered in another form.
    """
    address = urlsplit(service)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=120)
    began = time.perf_counter()
    connection.request("GET", f"/v1/runs/{run_id}/history?signals={SIGNAL}&points={POINTS}", headers={"Accept": form})
    response = connection.getresponse()
    body = response.read()
    seconds = time.perf_counter() - began
    connection.close()
    given = response.headers.get_content_type()
    if response.status != 200 or given != form:
        raise RuntimeError(f"asked for {form}, got {response.status} {given}: {body[:200]!r}")
    return seconds, body


def _check(body: bytes, form: str, layers: int) -> None:
    """Make sure that an answer holds what was asked for."""
    if form == "JSON":
        document = json.loads(body)
        assert len(document["columns"]) == layers
        assert 0 < len(document["steps"]) <= POINTS
        return
    with pa.ipc.open_stream(body) as stream:
        table = stream.read_all()
    assert 0 < table.num_rows <= POINTS
    assert table.num_columns > layers


def _rows(database: str, answers: Found) -> list[list[str]]:
    return [
        [
            f"{database}, {form}",
            *(spread([MILLI * s for s in answers[run, form].seconds], 0) for run in ("long", "short")),
            " and ".join(f"{answers[run, form].size / 1e6:.1f}" for run in ("long", "short")),
        ]
        for form in FORMS
        if answers
    ]


def _aims(database: str, answers: Found) -> list[Aim]:
    aims = []
    for form in FORMS:
        long, short = (_median(answers, run, form) for run in ("long", "short"))
        ratio = None if long is None or short is None else long / short
        what = f"overview as {form}, {database}"
        aims += [
            Aim(what=what, measured=None if long is None else MILLI * long, unit="ms", at_most=AT_MOST_MS),
            Aim(what=f"{what}: long run over short", measured=ratio, at_most=AT_MOST_RATIO),
        ]
    return aims


def _median(answers: Found, run: str, form: str) -> float | None:
    return statistics.median(answers[run, form].seconds) if answers else None
