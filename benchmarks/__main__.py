"""`python -m benchmarks`: measure, print the tables, and write the page about performance."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import accelerator, judging, overview, post_to_diagnosis, recording, writing
from benchmarks.machine import describe_machine
from benchmarks.page import PAGE, TEMPLATE, write_aims, write_page, write_part
from benchmarks.results import Part
from benchmarks.trouble import in_words

PARTS: Mapping[str, Callable[..., Part]] = {
    "recording": recording.measure,
    "accelerator": accelerator.measure,
    "writing": writing.measure,
    "overview": overview.measure,
    "judging": judging.measure,
    "post_to_diagnosis": post_to_diagnosis.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for; return 1 if a part could not be measured."""
    asked = _parser().parse_args(arguments)
    wanted = asked.parts or list(PARTS)
    parts = {part.name: part for part in (_load(path) for path in asked.load)}
    for name in wanted:
        if name not in parts:
            parts[name] = run_part(name, quick=asked.quick)
            print(f"\n## {name}\n\n{write_part(parts[name])}\n\n{write_aims(parts[name].aims)}", flush=True)
        if asked.save is not None:  # at once: what is measured is kept whatever becomes of the rest
            asked.save.mkdir(parents=True, exist_ok=True)
            (asked.save / f"{name}.json").write_text(parts[name].model_dump_json(indent=2) + "\n")
    if not asked.quick and set(PARTS) <= set(parts):
        PAGE.write_text(write_page({name: parts[name] for name in PARTS}, TEMPLATE.read_text()))
        print(f"\nWritten: {PAGE}")
    return int(any(part.failed for part in parts.values()))


def run_part(name: str, *, quick: bool) -> Part:
    """Run one part, and say when, where and for how long. One that fails says so in the page."""
    began = time.perf_counter()
    found = in_words(PARTS[name], quick=quick)
    part = Part(name=name, notes=[found], failed=True) if isinstance(found, str) else found
    now = datetime.now(UTC).date().isoformat()
    seconds = time.perf_counter() - began
    return part.model_copy(update={"machine": describe_machine(), "measured_on": now, "seconds": seconds})


def _load(path: Path) -> Part:
    return Part.model_validate_json(path.read_text())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what gradclinic costs. All parts together write docs/performance.md; some print their tables.",
    )
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="part", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="at a tiny size, to see that it runs; writes no page")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="keep each part's figures there, as JSON")
    parser.add_argument(
        "--load",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="take a part from a saved file instead of measuring it, such as one of a machine with a GPU; can be repeated",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
