"""Telling a person what went wrong: the one place where errors become words and an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text
from typer.core import TyperGroup

from gradclinic.cli.exits import ExitCode, exit_code_of_error
from gradclinic.cli.printing import console_for
from gradclinic.cli.source import Place, Source
from gradclinic.errors import Fault, GradclinicError, InvalidSpec, RequestFailed
from gradclinic.report.writing import foreign

_MARGIN = 20
"""Columns that are kept free beside a shown line, for its number and the indentation."""


class TellingGroup(TyperGroup):
    """The group of all commands. An error that leaves one is told once, and ends with its code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was called."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise  # typer's own ways to end
        except InvalidSpec as error:
            tell_faults(error.faults)
            raise typer.Exit(ExitCode.WRONG_CALL) from error
        except GradclinicError as error:
            _tell_error(error)
            raise typer.Exit(exit_code_of_error(error)) from error
        except Exception as error:
            traceback.print_exc()
            tell("This should not have happened; what stands above tells where.")
            # Python's own code for this is 1, which would read as a finding.
            raise typer.Exit(ExitCode.NOT_DONE) from error


def tell(words: str) -> None:
    """Say something that is no result, on the error stream."""
    console_for(sys.stderr).print(foreign(words), highlight=False)


@contextmanager
def faults_told(source: Source) -> Iterator[None]:
    """Show an InvalidSpec raised inside at its places in the source, and end the program."""
    try:
        yield
    except InvalidSpec as error:
        tell_faults(error.faults, source)
        raise typer.Exit(ExitCode.WRONG_CALL) from error


def tell_faults(faults: Sequence[Fault], source: Source | None = None) -> None:
    """List faults: where each stands, what is wrong, and what would be right."""
    console = console_for(sys.stderr)
    name = "The request" if source is None else source.name
    places = "one place" if len(faults) == 1 else f"{len(faults)} places"
    console.print(Text.assemble(foreign(name, "bold"), (f" is wrong in {places}:", "bold red")))
    for fault in faults:
        console.print()
        _tell_fault(console, fault, source)


def _tell_fault(console: Console, fault: Fault, source: Source | None) -> None:
    place = source.place_of(fault.pointer) if source is not None else None
    head = Text.assemble(foreign(fault.pointer or "the whole document", "bold cyan"))
    if place is not None:
        head.append(f"  line {place.line}, column {place.column}", "dim")
    console.print(Padding.indent(head, 2))
    if place is not None:
        console.print(Padding.indent(_marked(place, max(console.width - _MARGIN, _MARGIN)), 4), no_wrap=True)
    console.print(Padding.indent(foreign(fault.detail), 4))
    if fault.expected:
        console.print(Padding.indent(Text.assemble(("expected: ", "dim"), foreign(fault.expected)), 4))


def _marked(place: Place, room: int) -> Text:
    """Return the line of a place with the place underlined; of a line longer than `room`, the part around it."""
    start, end = place.column - 1, place.column - 1 + place.length
    skipped = max(0, start - room // 2) if len(place.text) > room else 0
    shown = place.text[skipped : skipped + room]
    number = f"{place.line} | "
    # Control characters are replaced one by one, so that the marks stay below what they mark.
    line = "".join(character if character.isprintable() else " " for character in shown)
    marks = "^" * max(1, min(end, skipped + len(shown)) - start)
    return Text.assemble((number, "dim"), line, "\n", " " * (len(number) + start - skipped), (marks, "red"))


def _tell_error(error: GradclinicError) -> None:
    tell(str(error))
    if isinstance(error, RequestFailed) and (request_id := error.problem.get("request_id")):
        tell(f"HTTP {error.status}, {error.problem.get('code', 'no code')}, request {request_id}")
