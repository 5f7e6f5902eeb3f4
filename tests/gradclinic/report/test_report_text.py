"""The report as it is printed: what it says, in which order, and what it must not let through."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

from rich.console import Console, RenderableType

from gradclinic.contract.diagnosis import Diagnosis, Finding
from gradclinic.contract.job import Job, Run
from gradclinic.report import Overview, overview_of_document, render_job, render_text
from gradclinic.report.findings import render_finding
from gradclinic.report.fixes import render_patch
from gradclinic.report.lists import render_runs
from tests.gradclinic.client import documents
from tests.gradclinic.client.documents import FINDING, FIX, HISTORY


def printed(report: RenderableType, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(report)
    text = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above
    return "\n".join(line.rstrip() for line in text.splitlines())


def job(**changed: Any) -> Job:
    return Job.model_validate(documents.job(**changed))


def diagnosis(**changed: Any) -> Diagnosis:
    return Diagnosis.model_validate(documents.diagnosis(FINDING) | changed)


WHOLE = """\
 CRITICAL   deep  Something keeps this model from learning.
job 0199b2f4-7c1e-7b3a-9d10-2f6a1c3e5b70  status succeeded  after 4.5 s
ended after 400 steps  accuracy 0.1  training loss 2.3  validation loss 2.31
loss  ██  from 2.45 to 2.25

1 finding
  critical  vanishing_gradient  from the start
    The gradient shrinks by 17 orders of magnitude from layers.3 to layers.0.
    layers    layers.0, layers.2[0..17].layers.0 (19 layers)
    cause     activation  ████████▋ 86 % of the effect
              Sigmoid passes on 0.21 of the gradient, 19 times over.
    evidence  signal                     value  threshold  step  layer
              activation_grad_norm     5.8e-17     0.0001     0  layers.0
              loss                  not finite              all

gradient norm by layer, input first (median over the means of 2 stretches of steps)
  layers.0  5e-17  █▎
  layers.3    0.5  ████████████████████████████████████████
  The length is the logarithm; the full width is 16 powers of ten.

1 fix
  1. Replace Sigmoid by ReLU, with He initialization
     activation  untested
     ReLU passes the gradient of an active unit on unchanged.
     replace  /model/layers/1           Sigmoid -> ReLU
     replace  /model/layers/2/layers/1  Sigmoid -> ReLU
     add      /model/init               {weight: kaiming_normal_(nonlinearity="relu")}
     see He et al. 2015
     try it: gradclinic apply 0199b2f4-7c1e-7b3a-9d10-2f6a1c3e5b70 activation-relu"""


def test_the_whole_report():
    history = HISTORY | {"columns": {name: _numbers(column) for name, column in HISTORY["columns"].items()}}
    overview = replace(overview_of_document(history), ends=(2.45, 2.25))
    assert printed(render_text(job(), diagnosis(), overview)) == WHOLE


def _numbers(column: dict[str, list[Any]]) -> dict[str, list[float]]:
    return {key: [float(value) for value in values] for key, values in column.items()}


def test_a_healthy_report_is_short():
    healthy = Diagnosis.model_validate(documents.diagnosis(health="healthy"))
    text = printed(render_text(job(health="healthy"), healthy))
    assert text.startswith(" HEALTHY   deep")
    assert "no findings" in text
    assert "fix" not in text


def test_a_training_that_is_no_job_is_headed_by_its_spec():
    text = printed(render_text(None, diagnosis(), document=documents.SPEC))
    assert text.startswith(" CRITICAL   deep")
    assert "Sigmoid -> ReLU" in text
    assert "gradclinic apply" not in text


def test_notes_and_consequences_are_told():
    follows = FINDING | {"rule": "loss_not_decreasing", "caused_by": "vanishing_gradient", "layers": [], "cause": None}
    text = printed(
        render_text(job(), diagnosis(findings=[FINDING, follows], notes=["Too short to judge overfitting."]))
    )
    assert "follows from vanishing_gradient" in text
    assert "Too short to judge overfitting." in text


def test_a_verdict_comes_with_what_the_trial_showed():
    effect = {
        "metric": "accuracy",
        "baseline": 0.1,
        "fixed": 0.93,
        "difference_ci95": [0.8, 0.86],
        "seeds": 3,
        "findings_resolved": ["vanishing_gradient"],
        "findings_introduced": ["overfitting"],
    }
    effect |= {"cost": {"time": 1.5, "parameters": 1.0}}
    judged = FIX | {"verdict": "verified", "verdict_why": "Better: a lot.", "effect": effect, "recommended": True}
    text = printed(render_text(job(), diagnosis(fixes=[judged])), width=200)
    assert "verified. Better: a lot." in text
    assert "recommended" in text
    assert "brings overfitting" in text
    assert "costs 1.5 times the time\n" in text


def test_a_proof_is_told_with_what_it_cost_and_how_it_was_judged():
    proof = {
        "test": "By a paired t-test.",
        "trials": 7,
        "rounds": 1,
        "cost": 6.25,
        "budget": 14,
        "recommendation": "Use ReLU.",
    }
    text = printed(render_text(job(), diagnosis(fixes=[FIX], proof=proof)), width=200)
    assert "Use ReLU." in text
    assert "7 trials in 1 round, 6.2 times the training itself (at most 14). By a paired t-test." in text


def test_what_users_wrote_is_no_markup_and_steers_no_terminal():
    text = printed(render_text(job(name="a[bold]b\x1b[31m\u202ec"), diagnosis()))
    assert "a[bold]b[31mc" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_layers_with_brackets_are_not_taken_for_markup():
    text = printed(render_text(job(), diagnosis(findings=[FINDING | {"layers": ["layers.2[7].layers.0"]}])))
    assert "layers.2[7].layers.0" in text


def test_a_live_job_says_how_far_it_is():
    assert "step 120 of 400" in printed(render_job(job(status="training")))
    assert "asked to stop" in printed(render_job(job(status="training", cancel_requested=True)))


def test_a_patch_shows_what_stands_there_when_its_turn_comes():
    patch = [
        {"op": "add", "path": "/a/0", "value": {"type": "ReLU"}},
        {"op": "replace", "path": "/a/1", "value": 2},
        {"op": "remove", "path": "/a/0"},
        {"op": "move", "from": "/a/0", "path": "/b"},
    ]
    lines = printed(render_patch(patch, {"a": [1]})).splitlines()
    assert lines[0].split() == ["add", "/a/0", "ReLU"]
    assert lines[1].split() == ["replace", "/a/1", "1", "->", "2"]
    assert lines[2].split() == ["remove", "/a/0", "ReLU"]
    assert lines[3].split() == ["move", "/b", "from", "/a/0"]


def test_a_patch_of_another_spec_is_readable_all_the_same():
    patch = [{"op": "replace", "path": "/nothing/here", "value": 1}, {"op": "remove", "path": "/a"}]
    assert "/nothing/here" in printed(render_patch(patch, {"a": 1}))
    assert "/nothing/here" in printed(render_patch(patch))


def test_an_overview_without_numbers_draws_nothing():
    assert "gradient norm" not in printed(render_text(job(), diagnosis(), Overview()))


def test_an_estimate_is_told_with_its_interval_and_a_cause_with_its_confidence():
    words = "On its way back the gradient loses 0.31 decades a layer."
    evidence = [{"signal": "log_gradient_slope", "value": 0.31, "ci95": [0.29, 0.33], "words": words}]
    cause = {"what": "activation", "detail": "Sigmoid takes it", "share": 1.0, "confidence": 0.97}
    told = printed(render_finding(Finding.model_validate(FINDING | {"evidence": evidence, "cause": cause})))
    assert "0.31 [0.29, 0.33]" in told
    assert words in told
    assert "100 % of the effect, nearly certain (97 %)" in told


def test_the_runs_of_one_job_say_what_they_try():
    known = {
        "job_id": "one", "status": "succeeded", "health": "critical", "name": "deep", "seed": 0, "steps_done": 9,
        "outcome": None, "created_at": "2026-11-21T00:00:00Z", "started_at": None, "finished_at": None,
    }  # fmt: skip
    runs = [
        Run.model_validate(known | {"id": "a", "kind": "baseline"}),
        Run.model_validate(known | {"id": "b", "kind": "trial", "fix": "residual", "round": 1}),
        Run.model_validate(known | {"id": "c", "kind": "trial", "round": 1}),
    ]
    text = printed(render_runs(runs))
    assert "tries" in text
    assert "residual" in text
    assert "the unchanged spec" in text
    assert "deep" not in text
    assert "deep" in printed(render_runs([*runs, runs[0].model_copy(update={"job_id": "two"})]))
