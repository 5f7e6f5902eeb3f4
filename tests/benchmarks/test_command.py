from pathlib import Path

import pytest

import benchmarks.__main__ as command
from benchmarks.results import Aim, Part, Table


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the page is written, with parts that measure nothing."""

    def make(name: str):
        def measure(*, quick: bool) -> Part:
            if name == "overview" and quick:
                raise OSError("no port")
            table = Table(title=f"of {name}", headings=["", "x"], rows=[["quick", str(quick)]])
            return Part(name=name, tables=[table], aims=[Aim(what=name, measured=2.0, at_most=1.0)])

        return measure

    monkeypatch.setattr(command, "PARTS", {name: make(name) for name in command.PARTS})
    monkeypatch.setattr(command, "PAGE", tmp_path / "performance.md")
    return tmp_path / "performance.md"


def test_all_parts_together_write_the_page(page: Path, capsys: pytest.CaptureFixture[str]):
    assert command.main([]) == 0

    text = page.read_text()
    assert all(f"**of {name}**" in text for name in command.PARTS)
    assert text.count("**MISSED**:") == len(command.PARTS)
    assert "## writing" in capsys.readouterr().out


def test_some_parts_or_a_quick_run_write_none_and_a_part_that_fails_ends_with_1(page: Path):
    assert command.main(["writing"]) == 0
    assert command.main(["--quick"]) == 1
    assert not page.exists()


def test_a_part_measured_elsewhere_is_taken_from_its_file(page: Path, tmp_path: Path):
    assert command.main(["accelerator", "--save", str(tmp_path / "there")]) == 0
    saved = tmp_path / "there" / "accelerator.json"
    part = Part.model_validate_json(saved.read_text())
    saved.write_text(part.model_copy(update={"machine": "a GPU elsewhere"}).model_dump_json())

    assert command.main(["--load", str(saved)]) == 0

    assert page.read_text().count("a GPU elsewhere") == 1


def test_a_part_that_there_is_not_is_refused(page: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as refused:
        command.main(["speed"])

    assert refused.value.code == 2
    assert "speed" in capsys.readouterr().err
    assert not page.exists()
