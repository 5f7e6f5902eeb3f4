"""What was measured of fixes, over all jobs that ended."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import pytest

from gradclinic.contract.diagnosis import Effect, Fix
from gradclinic.contract.job import Job
from store.claim import Claim
from store.records import keep_verdicts, read_records
from store.transactions import Store
from tests.attempts import diagnosis_of, end_baseline


def tried(number: int, verdict: Any, difference: float | None, **more: Any) -> Fix:
    effect = Effect(
        metric="accuracy",
        baseline=0.5,
        fixed=None if difference is None else 0.5 + difference,
        difference_ci95=None,
        seeds=3,
        findings_resolved=[],
        findings_introduced=[],
    )
    known: dict[str, Any] = {"kind": "warmup", "addresses": ["oscillating_loss"], "title": "t", "patch": [], "why": "w"}
    return Fix(id=f"fix-{number}", verdict=verdict, effect=effect, **(known | more))


def test_untested_and_unsettled_fixes_and_chains_are_no_tries(store: Store, post_job: Callable[..., Job]):
    fixes = [
        tried(0, "untested", None),
        tried(1, "verified", 0.1, chain=["a", "b"]),
        tried(2, "inconclusive", 0.2),
        tried(3, "no_effect", None),
    ]
    job = post_job()
    with store.writing() as writer:
        keep_verdicts(writer, job.id, diagnosis_of("critical", fixes=fixes))
        ((key, record),) = read_records(writer).items()
    assert key == ("warmup", "oscillating_loss")
    assert (record.tries, record.helped, record.harmed, record.median_effect) == (1, 0, 0, None)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 8])
def test_the_median_is_that_of_all_effects(store: Store, post_job: Callable[..., Job], count: int):
    differences = [round((-2) ** place / 64 + place / 7, 4) for place in range(count)]
    jobs = [post_job() for _ in differences]
    with store.writing() as writer:
        for place, (job, difference) in enumerate(zip(jobs, differences, strict=True)):
            fix = tried(place, "verified", difference, addresses=["oscillating_loss", "dead_units"])
            keep_verdicts(writer, job.id, diagnosis_of(fixes=[fix, tried(90, "harmful", None)]))
        records = read_records(writer)
    assert records["warmup", "dead_units"].median_effect == pytest.approx(statistics.median(differences))
    both = records["warmup", "oscillating_loss"]
    assert both.median_effect == pytest.approx(statistics.median(differences))
    assert (both.tries, both.helped, both.harmed) == (2 * count, count, count)


def test_a_job_leaves_its_verdicts_when_it_succeeds(
    store: Store, post_job: Callable[..., Job], claim: Callable[..., Claim]
):
    held = claim(post_job())
    with store.writing() as writer:
        assert read_records(writer) == {}
        end_baseline(writer, held, "warning", fixes=[tried(1, "verified", 0.25)])
        assert read_records(writer)["warmup", "oscillating_loss"].median_effect == 0.25
