"""A hopeless training, watched over real HTTP while a real worker trains it: told early, and ended where that is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from gradclinic.client import Client
from gradclinic.contract.event import EndEvent, FindingEvent, ProgressEvent, StatusEvent
from gradclinic.contract.job import LIVE
from tests.system.running import System

pytestmark = pytest.mark.slow

STEPS = 100_000


def hopeless(**more: Any) -> dict[str, Any]:
    """Its loss is no number after some twenty steps; all of them would take half a minute."""
    return {
        "model": {"layers": [{"type": "Linear", "out_features": 1}]},
        "data": {"type": "linear_regression", "noise": 0.1},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "SGD", "lr": 3.0},
        "training": {"steps": STEPS},
        "verification": {"fixes": 0},
    } | more


def test_a_finding_is_told_while_the_job_still_trains(system: System):
    system.workers()
    with Client(system.url()) as client:
        job = client.submit(hopeless())
        events = []
        for event in client.events(job.id):
            events.append(event)
            if isinstance(event, FindingEvent) and event.finding.rule == "non_finite":
                now = client.job(job.id)
                assert now.status == "training"
                assert event.finding in now.progress.findings
                assert event.finding.step < 1000
                client.cancel(job.id)
    kinds = [type(event) for event in events]
    assert kinds[0] is StatusEvent
    assert kinds[-1] is EndEvent
    assert kinds.index(FindingEvent) < kinds.index(EndEvent)
    statuses = [event.status for event in events if isinstance(event, StatusEvent)]
    assert statuses[-2:] == ["training", "cancelled"]
    steps = [event.progress.step for event in events if isinstance(event, ProgressEvent)]
    assert steps == sorted(steps)
    rules = [event.finding.rule for event in events if isinstance(event, FindingEvent)]
    assert len(rules) == len(set(rules))


def test_a_spec_can_ask_to_end_a_hopeless_training_and_is_told_what_it_saved(system: System):
    system.workers()
    with Client(system.url()) as client:
        job = client.submit(hopeless(diagnosis={"stop_on": "critical"}))
        events = list(client.events(job.id))
        assert isinstance(events[-1], EndEvent)
        assert (events[-1].status, events[-1].health) == ("succeeded", "critical")
        ended, diagnosis = client.job(job.id), client.diagnosis(job.id)
    assert ended.status not in LIVE
    outcome = diagnosis.outcome
    assert outcome is not None
    assert outcome.steps < 1000
    assert outcome.steps_saved == STEPS - outcome.steps
    assert ended.progress.step == outcome.steps
    assert ended.progress.findings[0].rule == outcome.stopped_by
    told = {event.finding.rule for event in events if isinstance(event, FindingEvent)}
    assert told == {finding.rule for finding in diagnosis.findings}
    assert len(system.history(job.id)["loss"].steps) == outcome.steps
