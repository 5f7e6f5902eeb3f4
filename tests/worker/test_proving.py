"""How a proof goes on: stage by stage, whoever ends a stage's last trial, however it ended. Nothing is trained here."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from store.claim import Claim
from store.endings import end_cancelled, finish_job
from store.jobs import delete_job, find_job, request_cancel
from store.queue import release_run, renew_lease, sweep_expired
from store.records import read_records
from store.settings import Settings
from store.transactions import Store
from tests.attempts import ERROR, claim_baseline, diagnosis_of, finish_with, result_of
from tests.worker.hands import FIXES, Hands
from worker import proving
from worker.dispatcher import Dispatcher
from worker.proving import advance_proof


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
