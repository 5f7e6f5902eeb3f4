"""Training and judging the cases, two processes at a time, with the histories kept from one run to the next.

A history depends on the spec, the seed and the code that trains; it is kept under a digest of all three, so that after a
change of a rule nothing is trained again.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from gradclinic.contract.parse import parse_spec
from gradclinic.diagnosis import diagnose
from gradclinic.history import History
from gradclinic.model import check_document
from gradclinic.training import set_threads, train
from tools.evaluation.case import Labelled
from tools.evaluation.judging import Judged
from tools.evaluation.margins import Flip, flips_of

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


def _judge(work: tuple[Labelled, int, Path, bool]) -> tuple[Judged, list[Flip]]:
    case, seed, cache, with_margins = work
    document = case.on_seed(seed)
    history = _history_of(document, cache)
    spec = parse_spec(document)
    judged = Judged(case, seed, diagnose(history, spec.diagnosis.thresholds))
    return judged, flips_of(case, history) if with_margins else []


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
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for part in TRAINS:
        for path in sorted((LIBRARY / part).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
