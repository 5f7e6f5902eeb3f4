"""The commands about uploaded data sets: upload, list, show, delete."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradclinic.cli.options import AsJson, Url
from gradclinic.cli.telling import tell
from gradclinic.cli.uploads import Limit, make_uploads_app, print_upload, print_uploads, send_file
from gradclinic.client import Client

DatasetId = Annotated[str, typer.Argument(metavar="DATASET", help="The data set's id.")]
FilePath = Annotated[Path, typer.Argument(metavar="FILE", help="A CSV, Parquet or npz file.")]
Name = Annotated[str | None, typer.Option("--name", help="What to call it; its ending says what kind of file it is.")]


def make_datasets_app() -> typer.Typer:
    """Make the group of these commands."""
    return make_uploads_app(
        "Upload files to train on, list and delete them.",
        {"upload": upload, "list": list_all, "show": show, "delete": delete},
    )


def upload(path: FilePath, name: Name = None, url: Url = None, as_json: AsJson = False) -> None:
    """Upload a file to a service, and print the id by which specs name it."""
    with Client(url) as client:
        found = send_file(client.upload_dataset, path, name)
    print_upload(found, as_json=as_json)
    use = "arrays" if found.kind == "npz" else "table"
    tell(f'Train on it with: "data": {{"type": "{use}", "dataset": "{found.id}", ...}}')


def list_all(limit: Limit = 50, url: Url = None, as_json: AsJson = False) -> None:
    """List uploaded data sets, newest first."""
    with Client(url) as client:
        print_uploads(client.datasets(limit=limit), limit, as_json=as_json)


def show(dataset_id: DatasetId, url: Url = None, as_json: AsJson = False) -> None:
    """Print what is known of an uploaded data set."""
    with Client(url) as client:
        print_upload(client.dataset(dataset_id), as_json=as_json)


def delete(dataset_id: DatasetId, url: Url = None) -> None:
    """Delete an uploaded data set that no live job trains on."""
    with Client(url) as client:
        client.delete_dataset(dataset_id)
    tell(f"Data set {dataset_id} is deleted.")
