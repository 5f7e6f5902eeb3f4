"""Training every remedy on every fault, two processes at a time, with the outcomes kept from one run to the next."""

from __future__ import annotations

import functools
import hashlib
import json
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gradclinic.contract.trial import TrialResult
from gradclinic.diagnosis import diagnose
from gradclinic.model import check_document
from gradclinic.training import set_threads, train
from gradclinic.training.trial import result_of
from tools.evidence.faults import Document, Fault
from tools.evidence.remedies import Remedy

LIBRARY = Path(__file__).parents[2] / "gradclinic"


@dataclass(frozen=True)
class Tried:
    """A spec that is trained: a fault's, unchanged (`remedy` and `setting` are None) or changed by a remedy."""

    fault: Fault
    remedy: str | None
    setting: str | None
    document: Document


def arms_of(faults: Sequence[Fault], remedies: Sequence[Remedy]) -> list[Tried]:
    """List all that is to be trained, each fault's unchanged spec first."""
    arms: list[Tried] = []
    for fault in faults:
        arms.append(Tried(fault, None, None, fault.document))
        for remedy in remedies:
            arms += [Tried(fault, remedy.id, name, spec) for name, spec in remedy.apply(fault.document).items()]
    return arms


def train_all(
    arms: Sequence[Tried], seeds: Sequence[int], cache: Path, processes: int
) -> Iterator[tuple[Tried, TrialResult]]:
    """Yield every arm on every seed, trained and judged, in their order."""
    cache.mkdir(parents=True, exist_ok=True)
    code = digest_of_code()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=set_threads) as pool:
        work = [(arm, seed) for arm in arms for seed in seeds]
        results = pool.map(_train, [(arm.document, seed, cache, code) for arm, seed in work])
        yield from ((arm, result) for (arm, _), result in zip(work, results, strict=True))


def _train(work: tuple[Document, int, Path, str]) -> TrialResult:
    document, seed, cache, code = work
    path = cache / f"{_digest(document, seed, code)}.json"
    if path.exists():
        return TrialResult.model_validate_json(path.read_text())
    spec, _ = check_document(document)
    spec = spec.model_copy(update={"training": spec.training.model_copy(update={"seed": seed})})
    started = time.perf_counter()
    history = train(spec).history
    seconds = time.perf_counter() - started
    result = result_of(spec, history, diagnose(history, spec.diagnosis.thresholds), seconds=seconds)
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_text(result.model_dump_json())
    unfinished.rename(path)
    return result


def _digest(document: Document, seed: int, code: str) -> str:
    return hashlib.sha256(f"{code} {seed} {json.dumps(document, sort_keys=True)}".encode()).hexdigest()


@functools.cache
def digest_of_code() -> str:
    """Digest all code of the library, once: an outcome with its findings hangs on nearly all of it."""
    digest = hashlib.sha256()
    for path in sorted(LIBRARY.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
