"""`python -m tools.evaluation`: train and judge the labelled cases, print what is wrong, write the page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.evaluation.case import Labelled, read_cases
from tools.evaluation.judging import recall, share_of
from tools.evaluation.page import write_page
from tools.evaluation.preflight import foresee_all, write_section
from tools.evaluation.running import judge_all, judge_perturbed
from tools.evaluation.stability import Changed, changes_of, changes_of_clear, share_unturned

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Run the evaluation; return its exit code."""
    asked = _parser().parse_args()
    cases = read_cases(asked.cases)
    total, judged, flips = len(cases) * len(asked.seeds), [], []
    for one, moved in judge_all(cases, asked.seeds, asked.cache, asked.processes):
        judged.append(one)
        flips += moved
        wrong = [f"missed {', '.join(one.missed)}"] * bool(one.missed) + [f"{one.diagnosis.health}"] * (
            not one.is_health_right
        )
        imagined = [f"imagined {', '.join(one.imagined)}"] * one.is_false_alarm
        print(
            f"{len(judged):4}/{total} {one.case.id} seed {one.seed} {'; '.join(wrong + imagined) or 'right'}",
            flush=True,
        )
    print(f"recall {recall(judged)}, health right {share_of(judged, lambda one: one.is_health_right)}")
    changed = [] if asked.unperturbed else _perturb(cases, asked)
    if changed:
        print(f"changes that left a clear case as it was {share_unturned(changes_of_clear(judged, changed))}")
    if asked.page is not None:
        ours = asked.cases.resolve() == ROOT / "cases"
        command = "make evaluate" if ours else f"make evaluate CASES={asked.cases.name}"
        foreseen = list(foresee_all(cases, asked.seeds, asked.processes))
        asked.page.write_text(f"{write_page(judged, flips, changed, command)}\n{write_section(foreseen)}")
        print(f"Written to {asked.page}.")
    return 0


def _perturb(cases: Sequence[Labelled], asked: argparse.Namespace) -> list[Changed]:
    changed = []
    for one in judge_perturbed(changes_of(cases, asked.seeds), asked.cache, asked.processes):
        changed.append(one)
        if one.turned:
            print(f"{len(changed):4} {one.case} seed {one.seed} {one.kind}: turned over", flush=True)
    return changed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.evaluation", description=__doc__)
    parser.add_argument("--cases", type=Path, default=ROOT / "cases", help="the folder of the cases")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--unperturbed", action="store_true", help="leave out the small changes of each case")
    parser.add_argument("--page", type=Path, help="where to write the page")
    parser.add_argument("--cache", type=Path, default=ROOT / "var" / "evaluation", help="where histories are kept")
    parser.add_argument("--processes", type=int, default=2)
    return parser


if __name__ == "__main__":
    sys.exit(main())
