"""The page of the figures about fixes, as Markdown."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tools.evaluation.judging import Share
from tools.fix_evaluation.labels import Repairs
from tools.fix_evaluation.proving import FRESH_SEEDS, CaseProof

AIM = 0.95
AIM_OF_COST = 8.0
MOST_HEALTHY_CHANGED = 1 / 50

ABOUT = (
    "Made by `{command}`. Every labelled case is run as a job with the default verification (three fixes on three seeds). A sick "
    "case counts as mended where a fix or a chain was verified, recommended, and its job is healthy on most of the seeds "
    "{seeds}, which no trial used. Every verified fix is trained on those seeds beside the unchanged spec. Cost is "
    "in trainings of the unchanged spec, by steps and, beyond 64, the samples of a step. Time is that of everything after "
    "the baseline's training, range tests and diagnoses included, over the time of that training."
)

BY_KIND = (
    "How often each kind was tried on sick cases, and what came of it; `useless` counts the verified ones that the labels of the "
    "case call useless."
)


def write_page(proofs: Sequence[CaseProof], repairs: Mapping[str, Repairs], command: str) -> str:
    """Return the whole page."""
    sick = [proof for proof in proofs if repairs[proof.case].is_sick]
    healthy = [proof for proof in proofs if not repairs[proof.case].is_sick]
    parts = [
        "# How often a fix is proven, and whether it holds",
        ABOUT.format(command=command, seeds=", ".join(map(str, FRESH_SEEDS))),
        _headline(sick, healthy),
        "## Where the cost goes",
        _spending(sick),
        "## By case",
        _by_case(sick, repairs),
        "## By kind of fix",
        BY_KIND,
        _by_kind(sick, repairs),
        "## Verified, and worse on a fresh seed",
        _worse(proofs),
        "## Healthy cases that were told to change something",
        _changed(healthy),
    ]
    return "\n\n".join(parts) + "\n"


def is_mended(proof: CaseProof) -> bool:
    """Whether a fix was recommended whose job is healthy on most fresh seeds."""
    best = proof.recommended
    return best is not None and 2 * sum(one.health == "healthy" for one in best.fresh) > len(best.fresh)


def worse_ones(proofs: Iterable[CaseProof]) -> list[tuple[str, str, str]]:
    """List the verified fixes whose outcome was worse than the unchanged spec's, in the mean of the fresh seeds."""
    return [
        (proof.case, one.fix.id, ", ".join(f"{fresh.gain:+.3f}" for fresh in one.fresh))
        for proof in proofs
        for one in proof.verified
        if statistics.mean(fresh.gain for fresh in one.fresh) < 0
    ]


def _headline(sick: Sequence[CaseProof], healthy: Sequence[CaseProof]) -> str:
    mended = Share(sum(map(is_mended, sick)), len(sick))
    all_seeds = Share(
        sum(p.recommended is not None and all(f.health == "healthy" for f in p.recommended.fresh) for p in sick),
        len(sick),
    )
    verified = Share(sum(bool(proof.verified) for proof in sick), len(sick))
    worse = worse_ones([*sick, *healthy])
    count = sum(len(proof.verified) for proof in (*sick, *healthy))
    told = sum(bool(proof.fixes) for proof in healthy)
    tried = [proof for proof in sick if proof.trials]
    cost, time = _spread([proof.cost for proof in tried]), _spread([proof.time for proof in tried])
    rows = [
        ("sick cases mended by a verified fix", str(mended), _kept(mended.value >= AIM), f"at least {AIM}"),
        ("the same, healthy on all fresh seeds", str(all_seeds), "", ""),
        ("sick cases with a verified fix", str(verified), "", ""),
        ("verified fixes that are worse on fresh seeds", f"{len(worse)} of {count}", _kept(not worse), "none"),
        (
            "healthy cases told to change something",
            f"{told} of {len(healthy)}",
            _kept(told <= MOST_HEALTHY_CHANGED * len(healthy)),
            "at most 1 in 50",
        ),
        ("cost of the verification, median", f"{cost[0]:.1f}", _kept(cost[0] < AIM_OF_COST), f"under {AIM_OF_COST:g}"),
        ("the same, 90th percentile", f"{cost[1]:.1f}", "", ""),
        ("time of the verification, median and 90th percentile", f"{time[0]:.1f}, {time[1]:.1f}", "", ""),
    ]
    return _table(("figure", "measured", "", "aim"), rows)


def _spending(sick: Sequence[CaseProof]) -> str:
    tried = [proof for proof in sick if proof.trials]
    whole = sum(proof.cost for proof in tried) or 1.0
    totals: Counter[str] = Counter()
    for proof in tried:
        totals.update(proof.spent_on)
    rows = [
        (on, f"{amount / whole:.0%}", f"{amount / max(1, len(tried)):.2f} trainings a case")
        for on, amount in totals.items()
    ]
    return _table(("spent on", "share", "mean"), rows)


def _by_case(sick: Sequence[CaseProof], repairs: Mapping[str, Repairs]) -> str:
    rows = []
    for proof in sick:
        best = proof.recommended
        fresh = ", ".join(one.health for one in best.fresh) if best else "-"
        left = ", ".join(sorted({rule for one in best.fresh for rule in one.findings})) if best else ""
        rows.append(
            (
                proof.case,
                "mended" if is_mended(proof) else "NOT mended",
                f"`{best.fix.id}`" if best else "none",
                "yes" if best and best.fix.kind in repairs[proof.case].repairs else "-",
                fresh + (f" ({left})" if left else ""),
                f"{proof.cost:.1f}",
                f"{proof.rounds}",
            )
        )
    headings = ("case", "", "recommended", "in `repairs`", "health on fresh seeds", "cost", "rounds")
    return _table(headings, rows)


def _by_kind(sick: Sequence[CaseProof], repairs: Mapping[str, Repairs]) -> str:
    verdicts: dict[str, Counter[str]] = {}
    for proof in sick:
        for fix in proof.fixes:
            if fix.verdict == "untested" or fix.chain:
                continue
            counted = verdicts.setdefault(fix.kind, Counter())
            counted[fix.verdict] += 1
            counted["useless"] += fix.verdict == "verified" and fix.kind in repairs[proof.case].useless
    names = ("verified", "inconclusive", "no_effect", "harmful", "useless")
    rows = [(f"`{kind}`", *(str(counted[name]) for name in names)) for kind, counted in sorted(verdicts.items())]
    return _table(("kind", *names), rows)


def _worse(proofs: Sequence[CaseProof]) -> str:
    worse = worse_ones(proofs)
    return _table(("case", "fix", "gain by seed"), worse) if worse else "None."


def _changed(healthy: Sequence[CaseProof]) -> str:
    rows = [(proof.case, ", ".join(proof.findings), proof.recommendation) for proof in healthy if proof.fixes]
    return _table(("case", "findings", "what was said"), rows) if rows else "None."


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Return median and 90th percentile; 0 of nothing."""
    if len(values) < 2:
        return (values[0], values[0]) if values else (0.0, 0.0)
    return statistics.median(values), statistics.quantiles(values, n=10, method="inclusive")[-1]


def _kept(kept: bool) -> str:
    return "kept" if kept else "MISSED"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
