"""`python -m tools.fix_evaluation`: prove the fixes of the labelled cases, print what became of each, write the page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.evaluation.case import read_cases
from tools.fix_evaluation.labels import read_repairs
from tools.fix_evaluation.page import is_mended, write_page
from tools.fix_evaluation.proving import CaseProof
from tools.fix_evaluation.running import prove_all

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Run the evaluation; return its exit code."""
    asked = _parser().parse_args()
    repairs = read_repairs(asked.cases)
    cases = [case for case in read_cases(asked.cases) if not asked.only or case.id in asked.only]
    # The sick ones take long and go first, so that no process ends up alone with one.
    cases.sort(key=lambda case: not repairs[case.id].is_sick)
    proofs: list[CaseProof] = []
    for proof in prove_all(cases, asked.cache, asked.processes):
        proofs.append(proof)
        sick = repairs[proof.case].is_sick
        said = ("mended" if is_mended(proof) else "NOT mended") if sick else proof.health
        print(f"{len(proofs):4}/{len(cases)} {proof.case} {said}: {proof.recommendation}", flush=True)
    proofs.sort(key=lambda proof: proof.case)
    if asked.page is not None:
        ours = asked.cases.resolve() == ROOT / "cases"
        command = "make evaluate" if ours else f"make evaluate CASES={asked.cases.name}"
        asked.page.write_text(write_page(proofs, repairs, command))
        print(f"Written to {asked.page}.")
    return 0


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
