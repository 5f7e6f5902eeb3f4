"""A proof goes on, or ends with what is known, whatever is stored, whoever dies, and whoever else works on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from store.runs import baseline_of
from store.settings import Settings
from store.tables import runs
from store.transactions import Store, Writer
from store.trials import Proof
from tests.attempts import finish_with, result_of
from tests.worker.conftest import DOCUMENT
from tests.worker.hands import FIXES, Hands
from worker import proving
from worker.dispatcher import Dispatcher
from worker.proving import advance_proof


def write_result(store: Store, run_id: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Let the stored result of a run be as another version would have stored it."""
    with store.writing() as writer:
        of_run = runs.c.id == run_id
        stored = json.loads(writer.connection.execute(select(runs.c.result).where(of_run)).scalar_one())
        change(stored)
        writer.connection.execute(update(runs).where(of_run).values(result=json.dumps(stored)))


def test_what_a_newer_version_stored_beside_is_left_out(hands: Hands, store: Store):
    hands.finish_baseline()
    with store.reading() as reader:
        baseline = baseline_of(reader, hands.job_id).id

    def add(stored: dict[str, Any]) -> None:
        stored["newer"] = stored["diagnosis"]["newer"] = stored["diagnosis"]["findings"][0]["newer"] = {"deep": 1}

    write_result(store, baseline, add)
    for claim in hands.claims():
        hands.finish(claim)
    assert hands.job.status == "succeeded"
    assert hands.verdicts() == {"optimizer-0": "no_effect", "optimizer-1": "verified"}


def test_a_trial_whose_result_cannot_be_read_ends_the_proof_and_the_job_has_its_diagnosis(hands: Hands, store: Store):
    hands.finish_baseline()
    first, last = hands.claims()
    hands.finish(first)
    write_result(store, first.run_id, lambda stored: stored.pop("loss"))
    hands.finish(last)
    assert (hands.job.status, hands.job.error) == ("succeeded", None)
    assert "A stored TrialResult cannot be read" in hands.diagnosis.notes[0]


def test_a_job_whose_baseline_cannot_be_read_ends_and_blocks_no_other(
    hands: Hands, store: Store, settings: Settings, post_job: Callable[[], str]
):
    hands.finish_baseline()
    with store.reading() as reader:
        baseline = baseline_of(reader, hands.job_id).id
    write_result(store, baseline, lambda stored: stored.pop("loss"))
    assert [hands.claim(), hands.claim()] == [None, None]  # each ended the trial at the head
    assert {(run.status, run.error and run.error.type) for run in hands.trials} == {("failed", "unreadable_record")}
    other = post_job()
    claim = hands.claim()
    assert claim is not None
    assert claim.job_id == other

    dispatcher_of(store, settings).run_round()
    assert hands.job.status == "failed"
    assert hands.job.error is not None
    assert "TrialResult cannot be read" in hands.job.error.detail


def test_a_job_whose_worker_died_before_it_went_on_is_picked_up(hands: Hands, store: Store, settings: Settings):
    claim = hands.claim()
    assert claim is not None
    with store.writing() as writer:
        finish_with(writer, claim, result_of(claim, 0.35, fixes=FIXES))
    patient = settings.model_copy(update={"lease_seconds": 60.0})
    dispatcher_of(store, patient).run_round()
    assert hands.trials == []  # its worker may be about to do it
    dispatcher = dispatcher_of(store, settings)
    dispatcher.run_round()
    assert (hands.job.status, len(hands.trials)) == ("verifying", FIXES)

    for claim in hands.claims():
        with store.writing() as writer:
            finish_with(writer, claim, result_of(claim, 0.4))
    dispatcher._next_look = 0.0
    dispatcher.run_round()
    assert len(hands.trials) > FIXES


def test_one_job_that_cannot_go_on_holds_up_no_other(
    hands: Hands, store: Store, settings: Settings, post_job: Callable[[], str], monkeypatch: pytest.MonkeyPatch
):
    other = Hands(store, post_job())
    for one in (hands, other):
        claim = one.claim()
        assert claim is not None
        with store.writing() as writer:
            finish_with(writer, claim, result_of(claim, 0.35, fixes=FIXES))
    go_on = proving.continue_proof

    def break_down(writer: Writer, job_id: str, *more: Any) -> None:
        if job_id == hands.job_id:
            raise ZeroDivisionError
        go_on(writer, job_id, *more)

    monkeypatch.setattr(proving, "continue_proof", break_down)
    dispatcher_of(store, settings).run_round()
    assert (hands.job.status, len(hands.trials)) == ("training", 0)
    assert (other.job.status, len(other.trials)) == ("verifying", FIXES)


def test_others_write_while_it_is_worked_out_what_comes_next(
    hands: Hands, monkeypatch: pytest.MonkeyPatch, post_job: Callable[[], str]
):
    """With inline data that takes seconds, for which SQLite's only writer would be busy."""
    written: list[str] = []

    def work_out(proof: Proof) -> Any:
        written.append(post_job())
        return work_out_really(proof)

    work_out_really = proving._work_out
    monkeypatch.setattr(proving, "_work_out", work_out)
    hands.finish_baseline()
    assert (len(written), len(hands.trials)) == (1, FIXES)


def test_what_another_worked_out_in_the_meantime_is_not_done_twice(hands: Hands, monkeypatch: pytest.MonkeyPatch):
    work_out_really, asked = proving._work_out, []

    def work_out(proof: Proof) -> Any:
        asked.append(proof)
        if len(asked) == 1:
            advance_proof(hands.store, hands.job_id)
            for claim in hands.claims():  # and the stage after it ends, too
                with hands.store.writing() as writer:
                    finish_with(writer, claim, result_of(claim, 0.4 + claim.attempt / 1000))
        return work_out_really(proof)

    monkeypatch.setattr(proving, "_work_out", work_out)
    hands.finish_baseline()
    assert len(asked) == 3
    added = [(run.fix, run.seed) for run in hands.trials]
    assert len(added) == len(set(added)) >= FIXES


def test_of_a_trial_its_changes_are_stored_alone(hands: Hands, store: Store):
    hands.finish_baseline()
    with store.reading() as reader:
        kept = reader.connection.execute(select(runs.c.document).where(runs.c.kind == "trial")).scalars().all()
    assert sorted(json.loads(one)[0]["value"]["lr"] for one in kept) == [0.01, 0.011]


def test_a_trial_that_was_stored_as_a_whole_spec_is_trained_likewise(hands: Hands, store: Store):
    hands.finish_baseline()
    whole = DOCUMENT | {"optimizer": {"type": "Adam", "lr": 0.5}}
    with store.writing() as writer:
        writer.connection.execute(update(runs).where(runs.c.kind == "trial").values(document=json.dumps(whole)))
    claim = hands.claim()
    assert claim is not None
    assert claim.trial is not None
    assert claim.trial.document == whole


def dispatcher_of(store: Store, settings: Settings) -> Dispatcher:
    """Make one that takes whoever is silent for a moment for dead."""
    hasty = settings.model_copy(update={"lease_seconds": 1e-9}) if settings.lease_seconds < 1 else settings
    return Dispatcher(store, hasty, room=lambda: 0, send=lambda _: None, report_alive=lambda: None)
