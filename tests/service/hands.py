"""The application over a real database, and hands that do a worker's writes without training."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, make_url, text

from gradclinic.contract.diagnosis import Diagnosis, Finding, Fix, Outcome
from gradclinic.contract.job import JobError
from gradclinic.history import WHOLE_STEP, History, LayerFacts, RunFacts, SignalTable
from service.app import create_app
from store.claim import Claim
from store.endings import end_cancelled, fail_run, finish_job, finish_run
from store.engine import make_engine
from store.histories import add_chunk, read_facts, save_facts
from store.schema import migrate
from store.settings import Settings
from store.transactions import Store
from tests.attempts import claim_baseline

SPEC: dict[str, Any] = {
    "name": "small",
    "model": {
        "layers": [
            {"type": "Linear", "out_features": 8},
            {"type": "Sigmoid"},
            {"type": "Repeat", "times": 2, "layers": [{"type": "Linear", "out_features": 8}]},
            {"type": "Linear", "out_features": 3},
        ]
    },
    "data": {"type": "iris"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
    "training": {"steps": 10},
}

FACTS = RunFacts(
    layers=[
        LayerFacts(name="layers.0", type="Linear", parameters=["layers.0.weight", "layers.0.bias"]),
        LayerFacts(name="layers.2[0].layers.0", type="Linear", parameters=["layers.2[0].layers.0.weight"]),
        LayerFacts(name="layers.2[1].layers.0", type="Linear", parameters=["layers.2[1].layers.0.weight"]),
    ]
)

OUTCOME = Outcome(train_loss=float("nan"), val_loss=1.0, metric=None, steps=10)

DIAGNOSIS = Diagnosis(
    health="critical",
    outcome=OUTCOME,
    findings=[
        Finding(
            rule="vanishing_gradient", severity="critical", first_step=0, layers=["layers.0"], summary="It is lost."
        )
    ],
    fixes=[
        Fix(
            id="activation-1",
            kind="activation",
            title="Replace Sigmoid by ReLU",
            addresses=["vanishing_gradient"],
            patch=[{"op": "replace", "path": "/model/layers/1", "value": {"type": "ReLU"}}],
            why="Its slope is 1.",
        ),
        Fix(
            id="broken-1",
            kind="width",
            title="A patch that leads nowhere",
            addresses=["vanishing_gradient"],
            patch=[{"op": "replace", "path": "/model/layers/3/out_features", "value": 1}],
            why="It shows that a patched spec is checked like a posted one.",
        ),
    ],
)


@dataclass(frozen=True)
class Service:
    """The service under test, and the store behind it."""

    app: FastAPI
    client: TestClient
    store: Store

    def post(self, spec: Any = SPEC, **headers: str) -> dict[str, Any]:
        answer = self.client.post("/v1/jobs", json=spec, headers=headers)
        assert answer.status_code == 202, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def claim(self, job_id: str) -> Claim:
        with self.store.writing() as writer:
            claim = claim_baseline(writer, job_id)
        assert claim is not None
        return claim

    def record(self, claim: Claim, history: History) -> None:
        with self.store.writing() as writer:
            add_chunk(writer, claim, history)
            save_facts(writer, claim, FACTS)

    def finish(self, claim: Claim, diagnosis: Diagnosis = DIAGNOSIS) -> None:
        with self.store.writing() as writer:
            facts = read_facts(writer, claim.run_id).model_copy(update={"outcome": OUTCOME})
            finish_run(writer, claim, facts=facts, diagnosis=diagnosis)
            finish_job(writer, claim.job_id, diagnosis)

    def fail(self, claim: Claim) -> None:
        with self.store.writing() as writer:
            fail_run(writer, claim, JobError(type="internal_error", title="It broke", detail="Ask the log."))

    def cancelled(self, claim: Claim) -> None:
        with self.store.writing() as writer:
            end_cancelled(writer, claim)


def small_history(steps: int = 10) -> History:
    """A history with a gap (`val_loss` every fifth step), a NaN and both infinities."""
    at = np.arange(steps)
    grads = np.stack([at + 0.5, at + 1.5, at + 2.5, at + 3.5, at + 4.5], axis=1).astype(float)
    grads[1, 1], grads[2, 2], grads[3, 2] = np.nan, np.inf, -np.inf
    subjects = (
        WHOLE_STEP, "layers.0.weight", "layers.0.bias", "layers.2[0].layers.0.weight", "layers.2[1].layers.0.weight",
    )  # fmt: skip
    layers = ("layers.0", "layers.2[0].layers.0", "layers.2[1].layers.0")
    return History(
        {
            "loss": SignalTable(at, (WHOLE_STEP,), (10.0 - at)[:, None]),
            "val_loss": SignalTable(at[4::5], (WHOLE_STEP,), np.ones((len(at[4::5]), 1))),
            "grad_norm": SignalTable(at, subjects, grads),
            "activation_grad_norm": SignalTable(at, layers, np.full((steps, 3), 2.0)),
        }
    )


@contextmanager
def serving(settings: Settings) -> Iterator[Service]:
    """Start the application, as a server would."""
    app = create_app(settings)
    with TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield Service(app, client, app.state.store)


@contextmanager
def postgresql_database() -> Iterator[str]:
    """Make a database of this test run's own, migrate it, and drop it at the end."""
    server = os.environ.get("GRADCLINIC_TEST_DATABASE_URL")
    if not server:
        pytest.skip("GRADCLINIC_TEST_DATABASE_URL is not set: no PostgreSQL to test with")
    name = f"gradclinic_service_{uuid.uuid4().hex[:12]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        url = make_url(server).set(database=name).render_as_string(hide_password=False)
        engine = make_engine(url)
        migrate(engine)
        engine.dispose()
        yield url
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()
