"""The list of all commands, and the start of the program."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gradclinic.cli.artifacts import make_artifacts_app
from gradclinic.cli.datasets import make_datasets_app
from gradclinic.cli.diagnose import diagnose
from gradclinic.cli.fixed import apply
from gradclinic.cli.histories import history
from gradclinic.cli.jobs import cancel, delete, show, submit, wait
from gradclinic.cli.lists import jobs, runs
from gradclinic.cli.local import run
from gradclinic.cli.recorded import upload
from gradclinic.cli.schemas import schema
from gradclinic.cli.specs import validate
from gradclinic.cli.sweeps import sweep
from gradclinic.cli.telling import FlagsCommand, TellingGroup

COMMANDS = (
    run,
    submit,
    wait,
    show,
    apply,
    cancel,
    delete,
    jobs,
    runs,
    sweep,
    history,
    diagnose,
    upload,
    validate,
    schema,
)
"""Every command, in the order of the help."""

_EPILOG = (
    "Exit codes: 0 healthy enough, 1 a finding at or above --fail-on, 2 the spec or the call is wrong, "
    "3 it could not be done or the service was not reached, 4 not finished within --timeout."
)


VERSION = "0.1.0"
"""As in pyproject.toml; a checkout that is not installed has no other place to read it from."""


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"gradclinic {VERSION}")  # noqa: T201 - the result
        raise typer.Exit


def make_app() -> typer.Typer:
    """Make the application with all of its commands."""
    app = typer.Typer(
        name="gradclinic",
        help="Gradient analysis for PyTorch trainings: history, diagnosis, fix and proof.",
        epilog=_EPILOG,
        cls=TellingGroup,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for command in COMMANDS:
        app.command(cls=FlagsCommand)(command)
    app.add_typer(make_datasets_app(), name="datasets")
    app.add_typer(make_artifacts_app(), name="artifacts")
    app.callback()(_with_version)
    return app


def _with_version(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options of the program itself."""


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows no block characters shows question marks instead of ending the program.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    make_app()(prog_name="gradclinic")
