"""The commands about uploaded data sets: upload, list, show, delete."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from gradclinic.cli.options import AsJson, Url
from gradclinic.cli.printing import print_json, print_report
from gradclinic.cli.telling import FlagsCommand, tell
from gradclinic.client import Client
from gradclinic.contract.uploaded import UploadedDataset
from gradclinic.report.writing import foreign

DatasetId = Annotated[str, typer.Argument(metavar="DATASET", help="The data set's id.")]
FilePath = Annotated[Path, typer.Argument(metavar="FILE", help="A CSV, Parquet or npz file.")]
Name = Annotated[str | None, typer.Option("--name", help="What to call it; its ending says what kind of file it is.")]


def make_datasets_app() -> typer.Typer:
    """Make the group of these commands."""
    app = typer.Typer(help="Upload files to train on, list and delete them.", no_args_is_help=True)
    for name, command in (("upload", upload), ("list", list_all), ("show", show), ("delete", delete)):
        app.command(name, cls=FlagsCommand)(command)
    return app


def upload(path: FilePath, name: Name = None, url: Url = None, as_json: AsJson = False) -> None:
    """Upload a file to a service, and print the id by which specs name it."""
    with Client(url) as client:
        try:
            found = client.upload_dataset(path, name=name)
        except OSError as error:
            raise typer.BadParameter(f"{path} cannot be read: {error.strerror or error}.") from error
    _print_datasets([found], as_json=as_json)
    use = "arrays" if found.kind == "npz" else "table"
    tell(f'Train on it with: "data": {{"type": "{use}", "dataset": "{found.id}", ...}}')


def list_all(
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="How many, the newest first.")] = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List uploaded data sets, newest first."""
    with Client(url) as client:
        page = client.datasets(limit=limit)
    if as_json:
        print_json(page)
        return
    _print_datasets(page.items, as_json=False)
    if page.next_cursor is not None:
        tell(f"There are more than these {limit}; --limit shows more of them.")


def show(dataset_id: DatasetId, url: Url = None, as_json: AsJson = False) -> None:
    """Print what is known of an uploaded data set."""
    with Client(url) as client:
        _print_datasets([client.dataset(dataset_id)], as_json=as_json)


def delete(dataset_id: DatasetId, url: Url = None) -> None:
    """Delete an uploaded data set that no live job trains on."""
    with Client(url) as client:
        client.delete_dataset(dataset_id)
    tell(f"Data set {dataset_id} is deleted.")


def _print_datasets(found: list[UploadedDataset], *, as_json: bool) -> None:
    if as_json:
        print_json(found[0])
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("id", "kind", "bytes", "uploaded", "name"):
        table.add_column(heading, justify="right" if heading == "bytes" else "left", no_wrap=heading != "name")
    for one in found:
        made = one.created_at.strftime("%Y-%m-%d %H:%M")
        table.add_row(Text(one.id), one.kind, f"{one.size:,}", made, foreign(one.name or ""))
    print_report(table)
