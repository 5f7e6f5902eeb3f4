"""A job and its diagnosis for a terminal: health first, then the outcome, the findings and the fixes.

Pure functions that return rich's renderables; whoever calls them prints. Other formats have modules of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from gradclinic.contract.diagnosis import Diagnosis, Outcome, Proof
from gradclinic.contract.job import LIVE, Job
from gradclinic.report.findings import STYLES, render_finding
from gradclinic.report.fixes import render_fix
from gradclinic.report.overview import Overview, draw_gradients, draw_loss
from gradclinic.report.writing import foreign, number

_HEADLINES = {
    "healthy": "The training is healthy. Nothing was found that keeps it from learning.",
    "warning": "It learns, but something clearly harms or wastes the learning.",
    "critical": "Something keeps this model from learning.",
}

_FORESEEN = {
    "healthy": "Nothing speaks against training this.",
    "warning": "It could be trained, but something is likely to harm it.",
    "critical": "This model cannot learn as it is.",
}
"""The headlines of a preflight."""


def render_text(
    job: Job | None,
    diagnosis: Diagnosis | None,
    overview: Overview | None = None,
    *,
    document: Mapping[str, Any] | None = None,
) -> RenderableType:
    """Lay out a job, its diagnosis and pictures of its history; each of them may be missing.

    `document` is the spec of a training that is no job.
    """
    parts: list[RenderableType] = []
    spec = document if job is None else job.spec
    title = job.name if job is not None else (document or {}).get("name")
    if diagnosis is not None:
        parts.append(_render_health(diagnosis, title))
    if job is not None:
        parts.append(render_job(job))
    if diagnosis is not None:
        parts.extend(_render_body(diagnosis, overview or Overview()))
        parts.extend(_render_fixes(diagnosis, spec, None if job is None else job.id))
        if diagnosis.notes:
            parts.extend((Text(), _heading("notes"), *(_indented(foreign(note, "dim")) for note in diagnosis.notes)))
    return Group(*parts)


def render_job(job: Job) -> RenderableType:
    """Lay out where a job is, without its diagnosis."""
    line = Text.assemble(("job ", "dim"), foreign(job.id), ("  status ", "dim"), (job.status, "bold"))
    progress = job.progress
    if job.status in LIVE:
        line.append(f"  step {progress.step} of {progress.steps}")
    if job.status == "verifying":
        line.append(f", trial {progress.trials} of {progress.trials_planned}")
    if job.cancel_requested and job.status in LIVE:
        line.append("  (asked to stop)", "yellow")
    if job.started_at is not None and job.finished_at is not None:
        line.append(f"  after {(job.finished_at - job.started_at).total_seconds():.1f} s", "dim")
    if job.error is None:
        return line
    error = Text.assemble(foreign(job.error.title, "bold red"), f" ({job.error.type})")
    return Group(line, error, _indented(foreign(job.error.detail)))


def _render_health(diagnosis: Diagnosis, title: str | None) -> Text:
    badge = Text.assemble((f" {diagnosis.health.upper()} ", f"bold reverse {STYLES[diagnosis.health]}"))
    if title is not None:
        badge.append("  ").append_text(foreign(title, "bold"))
    headlines = _HEADLINES if diagnosis.preflight is None else _FORESEEN
    return badge.append(f"  {headlines[diagnosis.health]}")


def _render_body(diagnosis: Diagnosis, overview: Overview) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if diagnosis.outcome is not None:
        parts.append(_render_outcome(diagnosis.outcome, is_trained=diagnosis.preflight is None))
    if diagnosis.preflight is None and (loss := draw_loss(overview)) is not None:
        parts.append(loss)
    parts.extend((Text(), _heading(_count(len(diagnosis.findings), "finding"))))
    last_step = diagnosis.outcome.steps - 1 if diagnosis.outcome is not None else None
    parts.extend(_spaced([render_finding(finding, last_step) for finding in diagnosis.findings]))
    if (gradients := draw_gradients(overview)) is not None:
        parts.extend((Text(), gradients))
    return parts


def _render_fixes(diagnosis: Diagnosis, spec: Mapping[str, Any] | None, job_id: str | None) -> list[RenderableType]:
    if not diagnosis.findings and not diagnosis.fixes:
        return []
    best_first = ", best first" if len(diagnosis.fixes) > 1 else ""
    fixes = [render_fix(fix, place, spec, job_id) for place, fix in enumerate(diagnosis.fixes, start=1)]
    heading = _heading(_count(len(diagnosis.fixes), "fix", "fixes") + best_first)
    return [Text(), heading, *_render_proof(diagnosis.proof), *_spaced(fixes)]


def _render_proof(proof: Proof | None) -> list[RenderableType]:
    if proof is None:
        return []
    trained = f"{_count(proof.trials, 'trial')} in {_count(proof.rounds, 'round')}, {proof.cost:.1f} times the training itself"
    return [
        _indented(foreign(proof.recommendation, "bold")),
        _indented(foreign(f"{trained} (at most {proof.budget:g}). {proof.test}", "dim")),
        Text(),
    ]


def _render_outcome(outcome: Outcome, *, is_trained: bool) -> Text:
    saved = f", {outcome.steps_saved} saved" if outcome.stopped_by is not None else ""
    ended = Text.assemble(("ended ", "dim"), f"after {outcome.steps} steps{saved}")
    line = ended if is_trained else Text("before training", "dim")
    if outcome.metric is not None:
        line.append(f"  {outcome.metric.name} ", "dim").append(number(outcome.metric.value), "bold")
        if outcome.best_metric is not None and outcome.best_metric != outcome.metric.value:
            line.append(f" (best {number(outcome.best_metric)})", "dim")
    line.append("  training loss ", "dim").append(number(outcome.train_loss))
    return line.append("  validation loss ", "dim").append(number(outcome.val_loss))


def _heading(words: str) -> Text:
    return Text(words, "bold underline")


def _count(amount: int, one: str, several: str | None = None) -> str:
    return f"{amount or 'no'} {one if amount == 1 else several or one + 's'}"


def _spaced(parts: list[RenderableType]) -> list[RenderableType]:
    """Put an empty line between the parts, and two spaces before each."""
    return [piece for part in parts for piece in (Text(), _indented(part))][1:]


def _indented(part: RenderableType) -> RenderableType:
    return Padding.indent(part, 2)
