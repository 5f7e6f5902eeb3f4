"""`python -m tools.evidence`: try every remedy on every fault, print how far it is, write the page and its picture."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.evidence.faults import FAULTS
from tools.evidence.measuring import measure
from tools.evidence.page import write_page
from tools.evidence.picture import draw, percent
from tools.evidence.remedies import REMEDIES
from tools.evidence.running import arms_of, train_all

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Run it; return its exit code."""
    asked = _parser().parse_args()
    faults = [fault for fault in FAULTS if not asked.faults or fault.id in asked.faults]
    remedies = [remedy for remedy in REMEDIES if not asked.remedies or remedy.id in asked.remedies]
    if not faults or not remedies:
        print("There is no such fault or remedy; tools/evidence has their names.", file=sys.stderr)
        return 2
    arms = arms_of(faults, remedies)
    total, outcomes = len(arms) * len(asked.seeds), []
    for outcome in train_all(arms, asked.seeds, asked.cache, asked.processes):
        outcomes.append(outcome)
        if len(outcomes) % 50 == 0 or len(outcomes) == total:
            print(f"{len(outcomes):5}/{total} trained, now {outcome[0].fault.kind}: {outcome[0].fault.id}", flush=True)
    measured = measure(outcomes)
    for cell in measured.cells:
        print(f"{cell.fault.id}: {cell.remedy} ({cell.setting}) {cell.word}, {percent(cell.share)} of the gap")
    if asked.page is not None:
        picture = asked.page.with_suffix(".svg")
        picture.write_text(draw(measured))
        asked.page.write_text(write_page(measured, picture.name))
        print(f"Written to {asked.page} and {picture}.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.evidence", description=__doc__)
    parser.add_argument("--faults", nargs="*", help="names of some faults alone")
    parser.add_argument("--remedies", nargs="*", help="names of some remedies alone")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--page", type=Path, help="where to write the page; its picture goes beside it")
    parser.add_argument("--cache", type=Path, default=ROOT / "var" / "evidence", help="where outcomes are kept")
    parser.add_argument("--processes", type=int, default=2)
    return parser


if __name__ == "__main__":
    sys.exit(main())
