"""Training and judging the cases, and their perturbations, two processes at a time, with the histories kept from one run to the next.

A history depends on the spec, the seed and the code that trains; it is kept under a digest of all three, so that after a
change of a rule nothing is trained again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from gradclinic.contract.parse import parse_spec
from gradclinic.diagnosis import diagnose
from gradclinic.history import History
from gradclinic.model import check_document
from gradclinic.training import set_threads, train
from tools.evaluation.case import Labelled
from tools.evaluation.judging import Judged
from tools.evaluation.margins import Flip, flips_of
from tools.evaluation.stability import Change, Changed

LIBRARY = Path(__file__).parents[2] / "gradclinic"
TRAINS = ("contract", "history", "model", "recorder", "training")
"""The parts of the library that a history depends on."""


def judge_all(
    cases: Sequence[Labelled], seeds: Sequence[int], cache: Path, processes: int
) -> Iterator[tuple[Judged, list[Flip]]]:
    """Yield every case on every seed, judged, in no order; on the first seed with its margins."""
    cache.mkdir(parents=True, exist_ok=True)
    work = [(case, seed, cache, seed == seeds[0]) for seed in seeds for case in cases]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=set_threads) as pool:
        yield from pool.map(_judge, work)


def judge_perturbed(changes: Sequence[Change], cache: Path, processes: int) -> Iterator[Changed]:
    """Yield every change judged by its case's own label, in their order."""
    cache.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=set_threads) as pool:
        yield from pool.map(_judge_changed, [(change, cache) for change in changes])


def _judge(work: tuple[Labelled, int, Path, bool]) -> tuple[Judged, list[Flip]]:
    case, seed, cache, with_margins = work
    document = case.on_seed(seed)
    history = _history_of(document, cache)
    return _judged(case, seed, document, history), flips_of(case, history) if with_margins else []


def _judge_changed(work: tuple[Change, Path]) -> Changed:
    change, cache = work
    document = change.perturbation.document
    if document is None:
        return Changed(change, None)
    history = _history_of(document, cache)
    return Changed(change, _judged(replace(change.case, spec=document), change.seed, document, history))


def _judged(case: Labelled, seed: int, document: dict[str, object], history: History) -> Judged:
    return Judged(case, seed, diagnose(history, parse_spec(document).diagnosis.thresholds))


def _history_of(document: dict[str, object], cache: Path) -> History:
    path = cache / f"{_digest(document)}.arrow"
    if path.exists():
        return History.load(path)
    spec, _ = check_document(document)
    history = train(spec).history
    unfinished = path.with_suffix(".unfinished")
    history.save(unfinished)
    unfinished.rename(path)
    return history


def _digest(document: dict[str, object]) -> str:
    digest = _code().copy()
    digest.update(json.dumps(document, sort_keys=True).encode())
    return digest.hexdigest()


@functools.cache
def _code() -> hashlib._Hash:
    """Digest the code that trains, once: it may change while this runs, and what runs is what was there at first."""
    digest = hashlib.sha256()
    for part in TRAINS:
        for path in sorted((LIBRARY / part).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest
