from collections.abc import Callable

import pytest

from gradclinic.contract.diagnosis import Diagnosis, Evidence, Finding, Outcome
from gradclinic.contract.job import Job, JobError
from gradclinic.errors import DiagnosisNotReady, NoDiagnosis, NotFound
from store.claim import Claim
from store.diagnoses import find_diagnosis, save_diagnosis
from store.jobs import find_job
from store.runs import baseline_of, find_run, runs_of_job
from store.transactions import Store
from tests.attempts import end_baseline, fail_baseline

OUTCOME = Outcome(train_loss=2.3, val_loss=None, metric=None, steps=120)
FINDING = Finding(
    rule="non_finite",
    severity="critical",
    first_step=3,
    summary="The loss is not a number from step 3 on.",
    evidence=[Evidence(signal="loss", value=float("nan"), threshold=0.5)],
)


def test_a_diagnosis_comes_back_with_null_for_what_is_no_number(
    store: Store, post_job: Callable[..., Job], claim: Callable[..., Claim]
):
    held = claim(post_job())

    with store.writing() as writer:
        save_diagnosis(writer, held, Diagnosis(health="warning", outcome=None, findings=[]))
        save_diagnosis(writer, held, Diagnosis(health="critical", outcome=OUTCOME, findings=[FINDING]))

    with store.reading() as reader:
        found = find_diagnosis(reader, held.run_id)
        assert find_job(reader, held.job_id).health == "critical"
    assert (found.health, found.outcome) == ("critical", OUTCOME)
    assert found.findings[0].evidence == [Evidence(signal="loss", value=None, threshold=0.5)]


def test_a_diagnosis_is_not_ready_until_it_is_there_and_says_when_it_will_never_be(
    store: Store, post_job: Callable[..., Job], claim: Callable[..., Claim]
):
    job = post_job()
    with store.reading() as reader:
        run = baseline_of(reader, job.id)
        with pytest.raises(DiagnosisNotReady):
            find_diagnosis(reader, run.id)
    held = claim(job)
    with store.reading() as reader, pytest.raises(DiagnosisNotReady):
        find_diagnosis(reader, run.id)
    error = JobError(type="internal_error", title="t", detail="d")
    with store.writing() as writer:
        fail_baseline(writer, held, error)
        assert find_run(writer, held.run_id).error == error

    with store.reading() as reader:
        with pytest.raises(NoDiagnosis):
            find_diagnosis(reader, run.id)
        for missing in (find_diagnosis, find_run, runs_of_job, baseline_of):
            with pytest.raises(NotFound):
                missing(reader, "nothing")


def test_a_run_ends_with_its_outcome(store: Store, post_job: Callable[..., Job], claim: Callable[..., Claim]):
    held = claim(post_job())

    with store.writing() as writer:
        end_baseline(writer, held, "warning", outcome=OUTCOME)

    with store.reading() as reader:
        run = find_run(reader, held.run_id)
    assert (run.status, run.outcome, run.health) == ("succeeded", OUTCOME, "warning")
    assert run.finished_at is not None
