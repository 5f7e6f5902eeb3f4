"""What is certain of a job while it trains, as the store keeps it."""

import pytest

from gradclinic.contract.job import EarlyFinding
from gradclinic.errors import LeaseLost
from store.early import save_early_findings
from store.jobs import find_job
from store.queue import release_run, sweep_expired
from store.transactions import Store
from tests.attempts import claim_baseline, end_baseline

GONE = EarlyFinding(rule="non_finite", severity="critical", step=59, summary="At step 55 the loss is not finite.")
CAUSE = EarlyFinding(rule="learning_rate_too_high", severity="critical", step=59, summary="Steps are too long.")


def findings_of(store: Store, job):
    with store.reading() as reader:
        return find_job(reader, job.id).progress.findings


def test_a_job_shows_what_is_certain_while_it_trains_and_after(store: Store, post_job, claim):
    job = post_job()
    assert findings_of(store, job) == []
    held = claim(job)
    with store.writing() as writer:
        before = find_job(writer, job.id).version
        save_early_findings(writer, held, [CAUSE])
        save_early_findings(writer, held, [CAUSE, GONE])
        assert find_job(writer, job.id).version > before
    assert findings_of(store, job) == [CAUSE, GONE]
    with store.writing() as writer:
        end_baseline(writer, held, health="critical")
    assert findings_of(store, job) == [CAUSE, GONE]


def test_another_attempt_begins_with_nothing(store: Store, post_job, claim):
    job = post_job()
    held = claim(job)
    with store.writing() as writer:
        save_early_findings(writer, held, [GONE])
        release_run(writer, held)
    assert findings_of(store, job) == []
    lost = claim(job, lease_seconds=-1.0)
    with store.writing() as writer:
        save_early_findings(writer, lost, [GONE])
        sweep_expired(writer, max_attempts=9)
        assert claim_baseline(writer, job.id) is not None
    assert findings_of(store, job) == []
    with store.writing() as writer, pytest.raises(LeaseLost):
        save_early_findings(writer, lost, [GONE])
