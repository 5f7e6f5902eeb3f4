"""Reading diagnoses, and running a fix as a new job."""

from __future__ import annotations

import uuid

from tests.service.hands import SPEC, Service


def test_too_early_is_not_ready_and_says_when_to_ask_again(service: Service):
    job = service.post()
    answer = service.client.get(f"/v1/jobs/{job['id']}/diagnosis")
    assert (answer.status_code, answer.json()["code"]) == (409, "diagnosis_not_ready")
    assert int(answer.headers["Retry-After"]) >= 1


def test_a_job_that_ended_without_one_has_no_diagnosis(service: Service):
    job = service.post()
    service.fail(service.claim(job["id"]))
    answer = service.client.get(f"/v1/jobs/{job['id']}/diagnosis")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_diagnosis")
    assert "Retry-After" not in answer.headers


def test_a_job_and_its_run_show_the_same_diagnosis(service: Service):
    job = service.post()
    claim = service.claim(job["id"])
    service.finish(claim)
    of_job = service.client.get(f"/v1/jobs/{job['id']}/diagnosis")
    assert of_job.json()["findings"][0]["rule"] == "vanishing_gradient"
    assert of_job.json()["outcome"]["train_loss"] is None, "a number that is not finite is null"
    assert service.client.get(f"/v1/runs/{claim.run_id}/diagnosis").json() == of_job.json()


def test_runs_are_listed_baseline_first(service: Service):
    job = service.post()
    claim = service.claim(job["id"])
    page = service.client.get(f"/v1/jobs/{job['id']}/runs").json()
    (run,) = page["items"]
    assert (page["next_cursor"], run["id"], run["kind"]) == (None, claim.run_id, "baseline")
    assert service.client.get(f"/v1/runs/{run['id']}").json() == run


class TestFixes:
    def test_a_fix_becomes_a_job_of_its_own(self, service: Service):
        job = service.post()
        service.finish(service.claim(job["id"]))
        answer = service.client.post(f"/v1/jobs/{job['id']}/fixes/activation-1/apply")
        new = answer.json()
        assert (answer.status_code, new["status"]) == (202, "queued")
        assert new["id"] != job["id"]
        assert new["spec"]["model"]["layers"][1] == {"type": "ReLU"}
        assert SPEC["model"]["layers"][1] == {"type": "Sigmoid"}
        assert answer.headers["Location"] == f"/v1/jobs/{new['id']}"

    def test_a_key_makes_it_one_job(self, service: Service):
        job = service.post()
        service.finish(service.claim(job["id"]))
        path, headers = f"/v1/jobs/{job['id']}/fixes/activation-1/apply", {"Idempotency-Key": uuid.uuid4().hex}
        first, again = (service.client.post(path, headers=headers).json() for _ in range(2))
        assert first == again

    def test_a_patched_spec_is_checked_like_a_posted_one(self, service: Service):
        job = service.post()
        service.finish(service.claim(job["id"]))
        answer = service.client.post(f"/v1/jobs/{job['id']}/fixes/broken-1/apply")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_spec")

    def test_an_unknown_fix_is_a_404(self, service: Service):
        job = service.post()
        service.finish(service.claim(job["id"]))
        assert service.client.post(f"/v1/jobs/{job['id']}/fixes/none/apply").status_code == 404

    def test_a_fix_asked_for_too_early_is_a_409(self, service: Service):
        job = service.post()
        answer = service.client.post(f"/v1/jobs/{job['id']}/fixes/activation-1/apply")
        assert (answer.status_code, answer.json()["code"]) == (409, "diagnosis_not_ready")
