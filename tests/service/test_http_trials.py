"""What HTTP shows of a proof: trials as runs, verdicts as they come, and chains as fixes like any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradclinic.contract.patch import patch_document
from store.claim import Claim
from store.endings import fail_run, finish_run
from store.queue import claim_run
from tests.attempts import ERROR, finish_with, result_of
from tests.service.hands import DIAGNOSIS, FACTS, SPEC, Service, small_history
from worker.proving import advance_proof

FIXES = 2
CHAIN = DIAGNOSIS.fixes[0].model_copy(
    update={
        "id": "activation-1+optimizer-1",
        "chain": ["activation-1", "optimizer-1"],
        "patch": [*DIAGNOSIS.fixes[0].patch, {"op": "replace", "path": "/optimizer/lr", "value": 0.5}],
        "verdict": "verified",
        "recommended": True,
    }
)


def prove(service: Service, end: Callable[[Claim], None] | None = None) -> dict[str, Any]:
    """Post a job and end its baseline, with fixes to prove; `end` ends each of its trials."""
    job = service.post()
    baseline = service.claim(job["id"])
    with service.store.writing() as writer:
        finish_with(writer, baseline, result_of(baseline, 0.35, fixes=FIXES))
    advance_proof(service.store, job["id"])
    while end is not None and (queued := [run["id"] for run in runs_of(service, job) if run["status"] == "queued"]):
        with service.store.writing() as writer:
            claim = claim_run(writer, queued[0], worker="test", lease_seconds=60)
        assert claim is not None
        end(claim)
    found: dict[str, Any] = service.client.get(job["links"]["self"]).json()
    return found


def runs_of(service: Service, job: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.client.get(job["links"]["runs"]).json()["items"]
    return found


def test_a_job_whose_fixes_are_proven_shows_its_diagnosis_and_its_trials(service: Service):
    job = prove(service)
    assert (job["status"], job["health"], job["finished_at"]) == ("verifying", "critical", None)
    assert job["progress"]["trials_planned"] >= FIXES
    answer = service.client.get(job["links"]["diagnosis"])
    assert (answer.status_code, len(answer.json()["fixes"])) == (200, FIXES)
    baseline, *trials = runs_of(service, job)
    assert (baseline["kind"], baseline["status"], baseline["fix"], baseline["round"]) == (
        "baseline", "succeeded", None, None,
    )  # fmt: skip
    assert {(run["kind"], run["status"], run["fix"], run["round"], run["seed"]) for run in trials} == {
        ("trial", "queued", f"optimizer-{number}", 1, 0) for number in range(FIXES)
    }
    assert service.client.get(trials[0]["links"]["self"]).json() == trials[0]
    early = service.client.get(trials[0]["links"]["diagnosis"])
    assert (early.status_code, early.json()["code"]) == (409, "diagnosis_not_ready")
    assert service.client.delete(job["links"]["self"]).json()["code"] == "job_is_live"


def test_a_trial_has_a_history_and_a_diagnosis_of_its_own(service: Service):
    def end(claim: Claim) -> None:
        service.record(claim, small_history())
        with service.store.writing() as writer:
            finish_run(writer, claim, facts=FACTS, diagnosis=DIAGNOSIS, result=result_of(claim, 0.4))
        advance_proof(service.store, claim.job_id)

    job = prove(service, end)
    trial = runs_of(service, job)[1]
    assert service.client.get(trial["links"]["diagnosis"]).json()["findings"][0]["rule"] == "vanishing_gradient"
    assert service.client.get(trial["links"]["history"]).json()["steps"] == list(range(10))
    listed = service.client.get("/v1/runs", params={"kind": "trial"}).json()["items"]
    assert trial["id"] in [run["id"] for run in listed]


def test_a_trial_that_failed_says_why(service: Service):
    def end(claim: Claim) -> None:
        with service.store.writing() as writer:
            fail_run(writer, claim, ERROR)
        advance_proof(service.store, claim.job_id)

    job = prove(service, end)
    assert (job["status"], job["error"]) == ("succeeded", None)
    trial = runs_of(service, job)[1]
    assert (trial["status"], trial["error"]["type"]) == ("failed", "out_of_memory")
    assert service.client.get(trial["links"]["diagnosis"]).json()["code"] == "no_diagnosis"
    assert service.client.delete(job["links"]["self"]).status_code == 204
    assert service.client.get(trial["links"]["self"]).status_code == 404


def test_a_job_whose_fixes_are_proven_can_be_cancelled_and_keeps_its_diagnosis(service: Service):
    job = prove(service)
    before = service.client.get(job["links"]["self"]).headers["ETag"]
    answer = service.client.post(job["links"]["cancel"])
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    assert answer.headers["ETag"] != before
    assert service.client.get(job["links"]["diagnosis"]).json()["health"] == "critical"
    assert {run["status"] for run in runs_of(service, job)[1:]} == {"cancelled"}


def test_a_fix_can_be_applied_before_it_is_proven(service: Service):
    job = prove(service)
    answer = service.client.post(f"{job['links']['self']}/fixes/optimizer-1/apply")
    assert answer.status_code == 202
    assert answer.json()["spec"]["optimizer"] == {"type": "Adam", "lr": 0.011}


def test_a_chain_is_applied_as_one_fix(service: Service):
    claim = service.claim(service.post()["id"])
    service.finish(claim, DIAGNOSIS.model_copy(update={"fixes": [CHAIN, *DIAGNOSIS.fixes]}))
    answer = service.client.post(f"/v1/jobs/{claim.job_id}/fixes/{CHAIN.id}/apply")
    assert answer.status_code == 202, answer.text
    assert answer.json()["spec"] == patch_document(SPEC, CHAIN.patch)


def test_what_a_proof_may_cost_is_told_beforehand(service: Service):
    resolved = service.client.post("/v1/specs/validate", json=SPEC | {"verification": {"budget": 4}}).json()
    assert (resolved["trials_planned"], resolved["trials_budget"]) == (14, 4)
    assert service.post(SPEC | {"verification": {"fixes": 1}})["progress"]["trials_planned"] == 8
