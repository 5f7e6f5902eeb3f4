"""Telling a person what went wrong: the one place where errors become words and an exit code."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text
from typer.core import TyperCommand, TyperGroup, TyperOption

from gradclinic.cli.exits import ExitCode, exit_code_of_error
from gradclinic.cli.printing import console_for, print_json
from gradclinic.cli.problems import problem, problem_of
from gradclinic.cli.source import Place, Source
from gradclinic.errors import Fault, GradclinicError, InvalidSpec, RequestFailed
from gradclinic.report.writing import foreign

_MARGIN = 20
"""Columns that are kept free beside a shown line, for its number and the indentation."""


_AS_JSON = "gradclinic.as_json"
"""The key in a context's `meta` that says whether documents are printed: known before the options are read, because
reading them can fail."""

_CALLS = ((re.compile(r"GET /v1/jobs\b(?!/)"), "gradclinic jobs"),)
"""Calls that an error of the library may advise, and the command that does the same."""


class FaultsIn(InvalidSpec):
    """Faults of a text that is at hand, so that their places can be shown."""

    def __init__(self, faults: Sequence[Fault], source: Source) -> None:
        self.source = source
        super().__init__(faults)


class TellingGroup(TyperGroup):
    """The group of all commands. An error that leaves one is told once, and ends with its code; with `--json` it is
    printed as a document, too.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read what stands before the command."""
        ctx.meta[_AS_JSON] = "--json" in args
        with _told(as_json=ctx.meta[_AS_JSON]):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was called."""
        with _told(as_json=ctx.meta[_AS_JSON]):
            return super().invoke(ctx)

    def get_params(self, ctx: Any) -> list[Any]:
        """List the options, for the help too."""
        return _flags_shown_as_flags(super().get_params(ctx))


class FlagsCommand(TyperCommand):
    """A command whose help shows `--wait`, and not `--wait <bool>`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """List the arguments and options, for the help too."""
        return _flags_shown_as_flags(super().get_params(ctx))


def _flags_shown_as_flags(params: list[Any]) -> list[Any]:
    for param in params:
        if isinstance(param, TyperOption) and param.is_flag:
            param.metavar = ""
    return params


@contextmanager
def _told(*, as_json: bool) -> Iterator[None]:
    """Tell an error that is raised inside, and end with its code."""

    def print_problem(document: dict[str, Any]) -> None:
        if as_json:
            print_json(document)

    try:
        yield
    except (typer.Exit, typer.Abort):
        raise  # typer's own ways to end
    except typer.TyperException as error:
        # Typer says it, on the error stream and with the usage; pydantic's prefix tells a user nothing.
        if isinstance(error, typer.BadParameter):
            error.message = error.message.removeprefix("Value error, ")
        print_problem(problem("wrong_call", "The call is wrong", _words_of(error)))
        raise
    except KeyboardInterrupt:
        print_problem(problem("interrupted", "Interrupted", "It was interrupted from the keyboard."))
        raise
    except GradclinicError as error:
        _tell_error(error)
        print_problem(problem_of(error))
        raise typer.Exit(exit_code_of_error(error)) from error
    except BrokenPipeError as error:
        # Whoever read it has seen enough. Python would complain once more when it flushes the stream at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(ExitCode.NOT_DONE) from error
    except Exception as error:
        traceback.print_exc()
        tell("This should not have happened; what stands above tells where.")
        print_problem(problem("internal_error", "Internal error", f"{type(error).__name__}: {error}"))
        # Python's own code for this is 1, which would read as a finding.
        raise typer.Exit(ExitCode.NOT_DONE) from error


def _words_of(error: typer.TyperException) -> str:
    return str(error.format_message()) if hasattr(error, "format_message") else str(error)


def tell(words: str, *, on_one_line: bool = False) -> None:
    """Say something that is no result, on the error stream; on one line what is there to be copied."""
    console_for(sys.stderr).print(foreign(words), highlight=False, soft_wrap=on_one_line)


@contextmanager
def faults_told(source: Source) -> Iterator[None]:
    """Let the faults of an InvalidSpec raised inside be shown at their places in the source."""
    try:
        yield
    except InvalidSpec as error:
        raise FaultsIn(error.faults, source) from error


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
    match error:
        case FaultsIn():
            tell_faults(error.faults, error.source)
        case InvalidSpec():
            tell_faults(error.faults)
        case _:
            tell(_for_the_command_line(str(error)))
    if isinstance(error, RequestFailed) and (request_id := error.problem.get("request_id")):
        tell(f"HTTP {error.status}, {error.problem.get('code', 'no code')}, request {request_id}")


def _for_the_command_line(words: str) -> str:
    """Name commands where words for every caller name calls of HTTP."""
    for call, command in _CALLS:
        words = call.sub(command, words)
    return words
