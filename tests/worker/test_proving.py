"""How a proof goes on: stage by stage, whoever ends a stage's last trial, however it ended. Nothing is trained here."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.job import Job, Run
from store.claim import Claim
from store.diagnoses import find_diagnosis
from store.endings import end_cancelled, fail_run, finish_job
from store.jobs import delete_job, find_job, request_cancel
from store.queue import claim_next, release_run, renew_lease, sweep_expired
from store.records import read_records
from store.runs import baseline_of, runs_of_job
from store.settings import Settings
from store.tables import runs
from store.transactions import Store, Writer
from store.trials import Proof
from tests.attempts import ERROR, claim_baseline, diagnosis_of, finish_with, result_of
from tests.worker.conftest import DOCUMENT
from worker import proving
from worker.dispatcher import Dispatcher
from worker.proving import advance_proof

FIXES = 2
HELPS = "optimizer-1"


class Hands:
    """What workers do to a job in the database, with made-up outcomes: one fix helps, the others do not."""

    def __init__(self, store: Store, job_id: str) -> None:
        self.store = store
        self.job_id = job_id
        self.rung: list[str] = []

    def claim(self, lease_seconds: float = 60.0) -> Claim | None:
        with self.store.writing() as writer:
            return claim_next(writer, worker="a-test", lease_seconds=lease_seconds)

    def claims(self) -> Iterator[Claim]:
        while (claim := self.claim()) is not None:
            yield claim

    def finish(self, claim: Claim) -> None:
        helped = claim.trial is not None and claim.trial.fix == HELPS
        fixes = FIXES if claim.trial is None else 0
        score = (0.9 if helped else 0.35) + claim.attempt / 1000 + (claim.trial.seed / 500 if claim.trial else 0)
        result = result_of(claim, score, health="healthy" if helped else "critical", fixes=fixes)
        with self.store.writing() as writer:
            finish_with(writer, claim, result)
        advance_proof(self.store, self.job_id, self.rung.append)

    def finish_baseline(self) -> None:
        claim = self.claim()
        assert claim is not None
        assert claim.trial is None
        self.finish(claim)

    def fail(self, claim: Claim) -> None:
        with self.store.writing() as writer:
            fail_run(writer, claim, ERROR)
        advance_proof(self.store, self.job_id)

    @property
    def job(self) -> Job:
        with self.store.reading() as reader:
            return find_job(reader, self.job_id)

    @property
    def trials(self) -> list[Run]:
        with self.store.reading() as reader:
            return [run for run in runs_of_job(reader, self.job_id) if run.kind == "trial"]

    @property
    def diagnosis(self) -> Diagnosis:
        with self.store.reading() as reader:
            return find_diagnosis(reader, baseline_of(reader, self.job_id).id)

    def verdicts(self) -> dict[str, str]:
        return {fix.id: fix.verdict for fix in self.diagnosis.fixes}


@pytest.fixture
def hands(store: Store, post_job: Callable[[], str]) -> Hands:
    return Hands(store, post_job())


def test_a_proof_goes_from_stage_to_stage_until_the_job_has_its_verdicts(hands: Hands, store: Store):
    hands.finish_baseline()
    job = hands.job
    assert (job.status, job.health, job.finished_at, job.progress.trials) == ("verifying", "critical", None, 0)
    assert job.progress.trials_planned >= FIXES
    assert set(hands.verdicts().values()) == {"untested"}  # readable from here on
    first = hands.trials
    assert {run.fix for run in first} == {"optimizer-0", "optimizer-1"}
    assert {(run.status, run.round, run.seed) for run in first} == {("queued", 1, 0)}

    for claim in hands.claims():
        hands.finish(claim)

    job = hands.job
    assert (job.status, job.error, job.health) == ("succeeded", None, "critical")
    assert job.progress.trials == job.progress.trials_planned == len(hands.trials) > len(first)
    assert {run.status for run in hands.trials} == {"succeeded"}
    assert {run.seed for run in hands.trials if run.fix is None} == {1, 2}
    assert hands.verdicts() == {"optimizer-0": "no_effect", "optimizer-1": "verified"}
    with store.reading() as reader:
        record = read_records(reader)["optimizer", "loss_not_decreasing"]
    assert (record.tries, record.helped, record.harmed) == (2, 1, 0)
    with store.writing() as writer:
        delete_job(writer, hands.job_id)
        assert read_records(writer) == {}


def test_a_trial_knows_what_to_train_and_the_baseline_beside_it(hands: Hands):
    hands.finish_baseline()
    claims = list(hands.claims())
    tried = {claim.trial.fix: claim.trial for claim in claims if claim.trial is not None}
    assert tried["optimizer-1"].document["optimizer"] == {"type": "Adam", "lr": 0.011}
    assert all(claim.document["optimizer"]["type"] == "SGD" for claim in claims)
    assert all(claim.baseline is not None and claim.baseline.parameters == 15 for claim in claims)


def test_a_stage_waits_for_its_last_trial(hands: Hands):
    hands.finish_baseline()
    first, second = hands.claims()
    hands.finish(first)
    assert (hands.claim(), len(hands.trials), hands.job.progress.trials) == (None, 2, 1)
    hands.finish(second)
    assert len(hands.trials) > 2


def test_other_workers_hear_of_every_trial_once_it_is_there(hands: Hands):
    hands.finish_baseline()
    assert hands.rung == [hands.job_id] * 2
    for claim in hands.claims():
        hands.finish(claim)
    assert len(hands.rung) == len(hands.trials)


def test_of_two_that_end_a_stage_at_once_one_goes_on(hands: Hands):
    hands.finish_baseline()
    claims = list(hands.claims())
    barrier = threading.Barrier(len(claims))

    def finish(claim: Claim) -> None:
        barrier.wait()
        hands.finish(claim)

    threads = [threading.Thread(target=finish, args=(claim,)) for claim in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    added = [(run.fix, run.seed) for run in hands.trials]
    assert len(added) == len(set(added)) > 2
    assert hands.job.progress.trials == 2


def test_a_trial_that_cannot_be_done_costs_the_job_its_arm_alone(hands: Hands):
    hands.finish_baseline()
    for claim in hands.claims():
        if claim.trial is not None and claim.trial.fix == "optimizer-0":
            hands.fail(claim)
        else:
            hands.finish(claim)
    assert (hands.job.status, hands.job.error) == ("succeeded", None)
    assert hands.verdicts() == {"optimizer-0": "untested", "optimizer-1": "verified"}
    assert [run.error for run in hands.trials if run.status == "failed"] == [ERROR]


def test_a_job_whose_every_trial_fails_succeeds_without_a_verdict(hands: Hands):
    hands.finish_baseline()
    for claim in hands.claims():
        hands.fail(claim)
    assert hands.job.status == "succeeded"
    assert set(hands.verdicts().values()) == {"untested"}


def test_a_trial_that_keeps_losing_workers_is_given_up_and_the_proof_goes_on(
    hands: Hands, store: Store, settings: Settings
):
    twice = settings.model_copy(update={"max_attempts": 2})
    dispatcher = Dispatcher(store, twice, room=lambda: 0, send=lambda _: None, report_alive=lambda: None)
    hands.finish_baseline()
    lost, kept = hands.claim(-1), hands.claim()
    assert lost is not None
    assert kept is not None
    hands.finish(kept)
    dispatcher.run_round()
    again = hands.claim(-1)
    assert again is not None
    assert (again.run_id, again.attempt) == (lost.run_id, 2)
    dispatcher._next_sweep = 0.0
    dispatcher.run_round()
    assert [(run.status, run.error and run.error.type) for run in hands.trials if run.id == lost.run_id] == [
        ("failed", "worker_lost")
    ]
    assert len(hands.trials) > 2
    for claim in hands.claims():
        hands.finish(claim)
    assert hands.job.status == "succeeded"


def test_a_trial_that_is_handed_back_is_taken_up_again_and_is_no_loss(hands: Hands, store: Store):
    hands.finish_baseline()
    claim = hands.claim()
    assert claim is not None
    with store.writing() as writer:
        release_run(writer, claim)
    again = hands.claim()
    assert again is not None
    assert (again.run_id, again.attempt, again.trial) == (claim.run_id, 2, claim.trial)
    assert hands.job.status == "verifying"


def test_a_new_job_is_diagnosed_before_the_proof_of_another_goes_on(hands: Hands, post_job: Callable[[], str]):
    hands.finish_baseline()
    other = post_job()
    claims = list(hands.claims())
    assert [claim.job_id == other for claim in claims] == [True, False, False]


def test_cancelling_a_proof_that_nobody_works_on_ends_it_at_once(hands: Hands, store: Store):
    hands.finish_baseline()
    with store.writing() as writer:
        job = request_cancel(writer, hands.job_id)
    assert (job.status, job.health) == ("cancelled", "critical")
    assert {run.status for run in hands.trials} == {"cancelled"}
    assert hands.claim() is None
    assert hands.diagnosis.fixes
    with store.writing() as writer:
        delete_job(writer, hands.job_id)


@pytest.mark.parametrize("ending", ["stops", "finishes", "is lost", "is handed back"])
def test_cancelling_a_proof_ends_it_with_the_last_trial_at_work(hands: Hands, store: Store, ending: str):
    hands.finish_baseline()
    claim = hands.claim(-1)
    assert claim is not None
    with store.writing() as writer:
        assert request_cancel(writer, hands.job_id).status == "verifying"
        assert renew_lease(writer, claim, -1) is True
    assert sorted(run.status for run in hands.trials) == ["cancelled", "training"]
    if ending == "finishes":
        hands.finish(claim)
    else:
        with store.writing() as writer:
            match ending:
                case "stops":
                    end_cancelled(writer, claim)
                case "is lost":
                    assert len(sweep_expired(writer, max_attempts=3)) == 1
                case "is handed back":
                    release_run(writer, claim)
    assert hands.job.status == "cancelled"
    assert hands.claim() is None
    assert hands.diagnosis.health == "critical"


def test_a_proof_that_breaks_leaves_the_job_its_diagnosis(hands: Hands, monkeypatch: pytest.MonkeyPatch):
    def broken(_: object) -> list[object]:
        raise ZeroDivisionError("password=hunter2")

    hands.finish_baseline()
    monkeypatch.setattr(proving, "_results", broken)
    for claim in hands.claims():
        hands.finish(claim)
    job = hands.job
    assert (job.status, job.error, job.health) == ("succeeded", None, "critical")
    assert job.progress.trials == job.progress.trials_planned == FIXES
    assert set(hands.verdicts().values()) == {"untested"}
    (note,) = hands.diagnosis.notes
    assert "could not be proven" in note
    assert "ZeroDivisionError" in note
    assert "hunter2" not in note


def test_each_end_of_a_trial_is_a_new_version_of_the_job(hands: Hands):
    hands.finish_baseline()
    versions = [hands.job.version]
    for claim in hands.claims():
        hands.finish(claim)
        versions.append(hands.job.version)
    assert versions == sorted(set(versions))


def test_without_fixes_to_prove_a_job_is_over_with_its_diagnosis(store: Store, post_job: Callable[[], str]):
    job_id = post_job()
    with store.writing() as writer:
        claim = claim_baseline(writer, job_id)
        assert claim is not None
        finish_with(writer, claim, result_of(claim, 0.9, health="healthy"))
    advance_proof(store, job_id)
    with store.reading() as reader:
        job = find_job(reader, job_id)
    assert (job.status, job.progress.trials, job.progress.trials_planned) == ("succeeded", 0, 0)


def test_a_job_that_ended_is_left_alone(store: Store, post_job: Callable[[], str]):
    job_id = post_job()
    with store.writing() as writer:
        claim = claim_baseline(writer, job_id)
        assert claim is not None
        finish_with(writer, claim, result_of(claim, 0.3, fixes=FIXES))
        finish_job(writer, job_id, diagnosis_of())
        before = find_job(writer, job_id)
    advance_proof(store, job_id)
    with store.reading() as reader:
        assert find_job(reader, job_id) == before


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
