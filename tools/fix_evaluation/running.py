"""Proving the cases, two processes at a time, with what was proven kept from one run to the next."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from gradclinic.training import set_threads
from tools.evaluation.case import Labelled
from tools.fix_evaluation.proving import CaseProof, prove_case

ROOT = Path(__file__).parents[2]
Work = tuple[str, dict[str, Any], Path]


def prove_all(cases: Sequence[Labelled], cache: Path, processes: int) -> Iterator[CaseProof]:
    """Yield what became of every case, as they come."""
    cache.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=set_threads) as pool:
        work = [pool.submit(_prove, (case.id, case.spec, cache)) for case in cases]
        for done in as_completed(work):
            yield done.result()


def _prove(work: Work) -> CaseProof:
    case, document, cache = work
    path = cache / f"{_digest(document)}.proof.json"
    if path.exists():
        return CaseProof.model_validate_json(path.read_text())
    proof = prove_case(case, document)
    path.write_text(proof.model_dump_json())
    return proof


def _digest(document: dict[str, Any]) -> str:
    """Return a digest of a spec and all the code of the library: a proof hangs on nearly all of it."""
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for path in sorted((*(ROOT / "gradclinic").rglob("*.py"), *Path(__file__).parent.glob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()
