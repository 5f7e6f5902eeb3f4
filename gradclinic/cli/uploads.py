"""What the commands about data sets and those about artifacts share: sending a file, and printing what is uploaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.table import Table
from rich.text import Text

from gradclinic.cli.printing import print_json, print_report
from gradclinic.cli.telling import FlagsCommand, tell
from gradclinic.contract.job import Page
from gradclinic.contract.uploaded import Upload
from gradclinic.report.writing import foreign

UploadT = TypeVar("UploadT", bound=Upload)

Limit = Annotated[int, typer.Option("--limit", min=1, max=200, help="How many, the newest first.")]


def make_uploads_app(help: str, commands: dict[str, Callable[..., Any]]) -> typer.Typer:
    """Make a group of commands."""
    app = typer.Typer(help=help, no_args_is_help=True)
    for name, command in commands.items():
        app.command(name, cls=FlagsCommand)(command)
    return app


def send_file(send: Callable[..., UploadT], path: Path, name: str | None) -> UploadT:
    """Upload a file by a call of the client."""
    try:
        return send(path, name=name)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror or error}.") from error


def print_upload(upload: Upload, *, as_json: bool) -> None:
    """Print what is known of one upload."""
    if as_json:
        print_json(upload)
    else:
        _print_table([upload])


def print_uploads(page: Page[UploadT], limit: int, *, as_json: bool) -> None:
    """Print a list of uploads."""
    if as_json:
        print_json(page)
        return
    _print_table(page.items)
    if page.next_cursor is not None:
        tell(f"There are more than these {limit}; --limit shows more of them.")


def _print_table(found: Sequence[Upload]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("id", "kind", "bytes", "uploaded", "name"):
        table.add_column(heading, justify="right" if heading == "bytes" else "left", no_wrap=heading != "name")
    for one in found:
        made = one.created_at.strftime("%Y-%m-%d %H:%M")
        table.add_row(Text(one.id), one.kind, f"{one.size:,}", made, foreign(one.name or ""))
    print_report(table)
