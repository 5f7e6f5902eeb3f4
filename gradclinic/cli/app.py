"""The list of all commands, and the start of the program."""

from __future__ import annotations

import sys

import typer

from gradclinic.cli.datasets import make_datasets_app
from gradclinic.cli.histories import history
from gradclinic.cli.jobs import apply, cancel, show, submit, wait
from gradclinic.cli.local import run
from gradclinic.cli.schemas import schema
from gradclinic.cli.specs import validate
from gradclinic.cli.sweeps import sweep
from gradclinic.cli.telling import TellingGroup

COMMANDS = (run, submit, wait, show, apply, cancel, sweep, history, validate, schema)
"""Every command, in the order of the help."""

_EPILOG = (
    "Exit codes: 0 healthy enough, 1 a finding at or above --fail-on, 2 the spec or the call is wrong, "
    "3 it could not be done or the service was not reached, 4 not finished within --timeout."
)


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
        app.command()(command)
    app.add_typer(make_datasets_app(), name="datasets")
    return app


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows no block characters shows question marks instead of ending the program.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    make_app()(prog_name="gradclinic")
