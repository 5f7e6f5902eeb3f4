"""Judging a stored history by other thresholds: the same findings as offline, nothing stored, every refusal at its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.diagnosis import diagnose
from gradclinic.history import WHOLE_STEP, History, SignalTable
from gradclinic.history.summary import SUMMED_FROM
from tests.service.hands import SPEC, Service, small_history
from tests.service.test_http_external import DEEP, begin, facts_document, finish, problem, send, vanishing

STRICT = {"thresholds": {"vanishing_gain": 1e-30}}


def judge(service: Service, run_id: str, document: Any) -> Any:
    return service.client.post(f"/v1/runs/{run_id}/diagnosis", json=document)


def uploaded(service: Service, history: History, **said: Any) -> str:
    run_id = begin(service, {"facts": facts_document(history.facts), **said})
    for number, start in enumerate(range(0, (history.last_step or 0) + 1, 500)):
        assert send(service, run_id, number, history.select(start=start, stop=start + 500)).status_code == 200
    assert finish(service, run_id).status_code == 200
    return run_id


def rules_in(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [finding["rule"] for finding in answer.json()["findings"]]


def test_other_thresholds_give_other_findings_and_change_nothing(service: Service):
    history = vanishing()
    run_id = uploaded(service, history)
    before = service.client.get(f"/v1/runs/{run_id}/diagnosis").json()
    assert "vanishing_gradient" in rules_in(judge(service, run_id, {}))
    found = Diagnosis.model_validate_json(judge(service, run_id, STRICT).content)
    assert found.findings == diagnose(history, STRICT["thresholds"]).findings
    assert "vanishing_gradient" not in [finding.rule for finding in found.findings]
    assert any("vanishing_gain 1e-30" in note for note in found.notes)
    assert service.client.get(f"/v1/runs/{run_id}/diagnosis").json() == before


def test_what_is_posted_comes_on_top_of_the_runs_own(embedded: Service):
    run_id = uploaded(embedded, vanishing(), diagnosis=STRICT)
    assert "vanishing_gradient" not in rules_in(judge(embedded, run_id, {"thresholds": {"dead_share": 0.4}}))
    assert "vanishing_gradient" in rules_in(judge(embedded, run_id, {"thresholds": {"vanishing_gain": 0.01}}))


def test_a_long_history_is_judged_as_it_would_be_offline(service: Service):
    """It is read as a summary, in which one late step that is far too long stands in a stretch with others."""
    steps, late = 2 * SUMMED_FROM, 1234
    history = vanishing(steps)
    ratios = np.full((steps, DEEP), 1e-3)
    ratios[late, 3] = 50.0
    names = tuple(f"layers.{place}.weight" for place in range(DEEP))
    losses = np.full((steps, 1), 2.3)
    losses[late + 1 :] = 99.0
    tables = dict(history.tables) | {
        "update_ratio": SignalTable(np.arange(steps), names, ratios),
        "loss": SignalTable(np.arange(steps), (WHOLE_STEP,), losses),
    }
    history = History(tables, history.facts)
    run_id = uploaded(service, history)
    found = Diagnosis.model_validate_json(judge(service, run_id, {}).content)
    expected = diagnose(history)
    assert [(f.rule, f.severity, f.first_step) for f in found.findings] == [
        (f.rule, f.severity, f.first_step) for f in expected.findings
    ]
    assert ("learning_rate_too_high", late) in [(f.rule, f.first_step) for f in found.findings]
    stored = Diagnosis.model_validate_json(service.client.get(f"/v1/runs/{run_id}/diagnosis").content)
    assert stored.findings == found.findings


def test_a_baseline_is_judged_by_its_specs_thresholds_and_the_posted_ones(service: Service):
    job = service.post(SPEC | {"diagnosis": {"thresholds": {"loss_jump": 7.0}}})
    claim = service.claim(job["id"])
    problem(judge(service, claim.run_id, {}), 409, "diagnosis_not_ready")
    service.record(claim, small_history())
    problem(judge(service, claim.run_id, {}), 409, "diagnosis_not_ready")
    service.finish(claim)
    strict = judge(service, claim.run_id, {"thresholds": {"vanishing_gain": 3.0}})
    assert "vanishing_gradient" in rules_in(strict), "the gain of 1 is below 3"
    assert "vanishing_gradient" not in rules_in(judge(service, claim.run_id, {}))
    kept = service.client.get(f"/v1/runs/{claim.run_id}/diagnosis").json()
    assert [finding["rule"] for finding in kept["findings"]] == ["vanishing_gradient"], "the stored one stays"


def test_too_early_and_nothing_to_judge_are_conflicts(service: Service):
    run_id = begin(service)
    answer = judge(service, run_id, {})
    problem(answer, 409, "diagnosis_not_ready")
    assert int(answer.headers["Retry-After"]) >= 1
    finish(service, run_id)
    problem(judge(service, run_id, {}), 409, "no_diagnosis")


def test_an_unknown_run_is_a_404(embedded: Service):
    problem(judge(embedded, "0199b2f4-7c1e-7b3a-9d10-2f6a1c3e5b70", {}), 404, "not_found")
    problem(judge(embedded, "none", {}), 404, "not_found")


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        ([], [""]),
        ({"threshold": {}}, ["/threshold"]),
        ({"thresholds": {"vanishing": 1.0, "dead_share": -1.0}}, ["/thresholds/vanishing", "/thresholds/dead_share"]),
        ({"thresholds": {"vanishing_gain": "small"}}, ["/thresholds/vanishing_gain"]),
    ],
)
def test_wrong_thresholds_are_refused_at_their_places(embedded: Service, document: Any, pointers: list[str]):
    errors = problem(judge(embedded, begin(embedded), document), 422, "invalid_spec")
    assert [error["pointer"] for error in errors] == pointers
