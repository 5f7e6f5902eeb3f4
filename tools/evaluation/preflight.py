"""The labelled cases with 0 steps: what is foreseen of sick trainings without training, and whether healthy ones are let through."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import median

from gradclinic.diagnosis import diagnose
from gradclinic.model import check_document
from gradclinic.training import set_threads, train
from tools.evaluation.case import Labelled, families
from tools.evaluation.judging import Judged, Share


@dataclass(frozen=True)
class Foreseen:
    """A case on one seed, judged without training, and how long that took."""

    judged: Judged
    seconds: float

    @property
    def is_foreseen(self) -> bool:
        """Whether anything at `warning` or above was predicted."""
        return self.judged.diagnosis.health != "healthy"


def foresee_all(cases: Sequence[Labelled], seeds: Sequence[int], processes: int) -> Iterator[Foreseen]:
    """Yield every case on every seed, judged by a preflight, in their order."""
    work = [(case, seed) for seed in seeds for case in cases]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_warm_up) as pool:
        yield from pool.map(_foresee, work)


def _warm_up() -> None:
    """Let a process find everything loaded: what PyTorch and numba take on first use is no part of a preflight."""
    set_threads()
    layers = [{"type": "Linear", "out_features": 8}, {"type": "ReLU"}, {"type": "Linear", "out_features": 3}]
    document = {
        "model": {"layers": layers},
        "data": {"type": "iris"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "Adam"},
        "training": {"steps": 0},
    }
    train(check_document(document)[0])


def _foresee(work: tuple[Labelled, int]) -> Foreseen:
    case, seed = work
    document = case.on_seed(seed)
    document["training"] = {k: v for k, v in document["training"].items() if k != "epochs"} | {"steps": 0}
    spec, _ = check_document(document)
    started = time.perf_counter()
    diagnosis = diagnose(train(spec).history, spec.diagnosis.thresholds)
    return Foreseen(Judged(case, seed, diagnosis), time.perf_counter() - started)


def write_section(foreseen: Sequence[Foreseen]) -> str:
    """Return the section of the page, as Markdown."""
    seconds = sorted(one.seconds for one in foreseen)
    healthy = [one for one in foreseen if one.judged.case.health == "healthy"]
    sick = [one for one in foreseen if one.judged.case.health != "healthy"]
    alarms = [one for one in healthy if one.is_foreseen]
    about = (
        'The same cases with `"training": {"steps": 0}`: nothing is trained. A preflight cannot see what only a training '
        "brings about (overfitting, noise, too few steps), so that what it misses is no mistake; a warning on a healthy case is. "
        "`rules` counts those that have to fire after a training and were named before it, at `warning` or above."
    )
    parts = [
        "## Before training",
        about,
        f"- Healthy cases with a warning or worse: {len(alarms)} of {len(healthy)}.",
        f"- Sick cases foreseen, by any rule: {_share(sick)}; the rules that have to fire: {_rules(sick)}.",
        f"- A preflight took {median(seconds):.2g} s in the median, {seconds[-1]:.2g} s at most.",
        _table(("sick family", "cases", "foreseen", "rules", "seconds, median"), _by_family(sick)),
    ]
    if alarms:
        rows = [(one.judged.case.id, str(one.judged.seed), ", ".join(one.judged.fired)) for one in alarms]
        parts.append(_table(("healthy case", "seed", "what was predicted"), rows))
    return "\n\n".join(parts) + "\n"


def _by_family(foreseen: Sequence[Foreseen]) -> Iterator[tuple[str, ...]]:
    for family in families(one.judged.case for one in foreseen):
        of_it = [one for one in foreseen if one.judged.case.family == family]
        count = len({one.judged.case.id for one in of_it})
        yield family, str(count), str(_share(of_it)), str(_rules(of_it)), f"{median(one.seconds for one in of_it):.2g}"


def _share(foreseen: Iterable[Foreseen]) -> Share:
    found = [one.is_foreseen for one in foreseen]
    return Share(sum(found), len(found))


def _rules(foreseen: Iterable[Foreseen]) -> Share:
    wanted = [(one.judged, must) for one in foreseen for must in one.judged.case.must]
    return Share(sum(must in judged.fired for judged, must in wanted), len(wanted))


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
