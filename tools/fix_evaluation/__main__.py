"""`python -m tools.fix_evaluation`: prove the fixes of the labelled cases, print what became of each, write the page."""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from gradclinic.training import set_threads
from tools.evaluation.case import read_cases
from tools.fix_evaluation.labels import read_repairs
from tools.fix_evaluation.page import is_mended, write_page
from tools.fix_evaluation.proving import CaseProof, prove_case

ROOT = Path(__file__).parents[2]
Work = tuple[str, dict[str, Any], Path]


def main() -> int:
    """Run the evaluation; return its exit code."""
    asked = _parser().parse_args()
    repairs = read_repairs(asked.cases)
    cases = [case for case in read_cases(asked.cases) if not asked.only or case.id in asked.only]
    asked.cache.mkdir(parents=True, exist_ok=True)
    # The long ones first, so that no process ends up alone with one.
    work: list[Work] = [(case.id, case.spec, asked.cache) for case in cases]
    work.sort(key=lambda one: not repairs[one[0]].is_sick)
    proofs: list[CaseProof] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(asked.processes, context, initializer=set_threads) as pool:
        for proof in pool.map(_prove, work):
            proofs.append(proof)
            sick = repairs[proof.case].is_sick
            said = ("mended" if is_mended(proof) else "NOT mended") if sick else proof.health
            print(f"{len(proofs):4}/{len(work)} {proof.case} {said}: {proof.recommendation}", flush=True)
    proofs.sort(key=lambda proof: proof.case)
    if asked.page is not None:
        ours = asked.cases.resolve() == ROOT / "cases"
        command = "make evaluate" if ours else f"make evaluate CASES={asked.cases.name}"
        asked.page.write_text(write_page(proofs, repairs, command))
        print(f"Written to {asked.page}.")
    return 0


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.fix_evaluation", description=__doc__)
    parser.add_argument("--cases", type=Path, default=ROOT / "cases", help="the folder of the cases")
    parser.add_argument("--only", nargs="*", help="ids of some cases alone")
    parser.add_argument("--page", type=Path, help="where to write the page")
    parser.add_argument("--cache", type=Path, default=ROOT / "var" / "evaluation", help="where proofs are kept")
    parser.add_argument("--processes", type=int, default=2)
    return parser


if __name__ == "__main__":
    sys.exit(main())
