from pathlib import Path

import pytest

from benchmarks.__main__ import PARTS
from benchmarks.page import TEMPLATE, write_aims, write_missed, write_page, write_part, write_table
from benchmarks.results import Aim, Part, Table, spread

KEPT = Aim(what="recording", measured=1.004, at_most=1.02, must=1.05)
MISSED = Aim(what="recording wide", measured=1.031, at_most=1.02, must=1.05, note="Bandwidth.")
FAR_OFF = Aim(what="writing", measured=12.5, unit="M numbers/s", at_least=20.0, must=15.0)
UNKNOWN = Aim(what="overview", measured=None, unit="ms", at_most=100.0)


def row_of(page: str, what: str) -> str:
    return next(line for line in page.splitlines() if line.startswith(f"| {what} |"))


@pytest.mark.parametrize(
    ("aim", "verdict"), [(KEPT, "kept"), (MISSED, "MISSED"), (FAR_OFF, "MISSED"), (UNKNOWN, "not measured")]
)
def test_a_verdict_follows_from_the_figure(aim: Aim, verdict: str):
    assert aim.verdict == verdict


def test_a_bound_itself_keeps_the_aim_and_nan_keeps_none():
    assert KEPT.model_copy(update={"measured": 1.02}).verdict == "kept"
    assert FAR_OFF.model_copy(update={"measured": 20.0}).verdict == "kept"
    assert KEPT.model_copy(update={"measured": float("nan")}).verdict == "MISSED"
    assert KEPT.model_copy(update={"measured": float("nan")}).misses_must


def test_a_miss_stands_in_the_table_beside_its_aim():
    table = write_aims([KEPT, MISSED, FAR_OFF, UNKNOWN])

    assert row_of(table, "recording").endswith("| ≤ 1.02 (must ≤ 1.05) | 1.004 | kept |")
    assert row_of(table, "recording wide").endswith("| 1.031 | **MISSED** |")
    assert row_of(table, "writing").endswith(
        "| ≥ 20 M numbers/s (must ≥ 15) | 12.5 M numbers/s | **MISSED**, and what it must be |"
    )
    assert row_of(table, "overview").endswith("| ≤ 100 ms | - | not measured |")


def test_the_misses_are_named_and_nothing_else_is():
    text = write_missed([KEPT, MISSED, FAR_OFF, UNKNOWN])

    assert "recording wide: 1.031, aim ≤ 1.02 (must ≤ 1.05). Bandwidth." in text
    assert "writing: 12.5 M numbers/s" in text
    assert text.count("MISSED") == 2
    assert write_missed([KEPT, UNKNOWN]) == "No aim that was measured was missed."


def test_the_page_holds_every_part_and_says_where_it_was_measured():
    parts = {
        name: Part(
            name=name,
            tables=[Table(title=f"of {name}", headings=["", "ms"], rows=[["a|b", "3"]])],
            aims=[MISSED],
            notes=[f"a rival of {name} failed"],
            machine="2 cores",
            measured_on="2026-01-02",
        )
        for name in PARTS
    }

    page = write_page(parts, TEMPLATE.read_text())

    for name in PARTS:
        assert f"**of {name}**" in page
        assert f"- a rival of {name} failed" in page
    assert page.count("_Measured on 2026-01-02 in 0 s: 2 cores._") == len(PARTS)
    assert "| a\\|b | 3 |" in page
    assert "$" not in page
    assert page.count("**MISSED**:") == len(PARTS)


def test_a_template_that_asks_for_more_than_was_measured_is_refused():
    with pytest.raises(KeyError):
        write_page({}, "$recording")


def test_a_part_comes_back_from_its_file_as_it_was():
    part = Part(name="writing", aims=[FAR_OFF, UNKNOWN], tables=[Table(title="t", headings=["", "x"], rows=[])])
    assert Part.model_validate_json(part.model_dump_json()) == part


def test_a_spread_shows_the_median_between_the_extremes():
    assert spread([3.0, 1.0, 2.0], 1) == "2.0 [1.0 .. 3.0]"
    assert spread([]) == "-"


def test_the_committed_page_is_one_that_the_template_makes():
    """Every line of prose on it is the template's: nothing was typed in by hand."""
    page = TEMPLATE.parent.parent / "docs" / "performance.md"
    prose = [line for line in TEMPLATE.read_text().splitlines() if line and not line.startswith("$")]
    assert [line for line in prose if line not in Path(page).read_text().splitlines()] == []


def test_a_table_of_a_part_is_markdown():
    table = Table(title="", headings=["", "x"], rows=[["one", "1"], ["two", "2"]])
    assert write_table(table).splitlines() == ["|  | x |", "| --- | ---: |", "| one | 1 |", "| two | 2 |"]
    assert "|  | x |" in write_part(Part(name="p", tables=[table]))
