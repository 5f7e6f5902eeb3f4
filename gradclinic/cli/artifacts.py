"""The commands about uploaded artifacts, which are models as data: upload, list, show, delete."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradclinic.cli.options import AsJson, Url
from gradclinic.cli.telling import tell
from gradclinic.cli.uploads import Limit, make_uploads_app, print_upload, print_uploads, send_file
from gradclinic.client import Client

ArtifactId = Annotated[str, typer.Argument(metavar="ARTIFACT", help="The artifact's id.")]
FilePath = Annotated[
    Path, typer.Argument(metavar="FILE", help="A file that gradclinic.export.export_artifact wrote from a model.")
]
Name = Annotated[str | None, typer.Option("--name", help="What to call it.")]


def make_artifacts_app() -> typer.Typer:
    """Make the group of these commands."""
    return make_uploads_app(
        "Upload models to train, list and delete them.",
        {"upload": upload, "list": list_all, "show": show, "delete": delete},
    )


def upload(path: FilePath, name: Name = None, url: Url = None, as_json: AsJson = False) -> None:
    """Upload a model to a service, and print the id by which specs name it."""
    with Client(url) as client:
        found = send_file(client.upload_artifact, path, name)
    print_upload(found, as_json=as_json)
    tell(f'Train it with: "model": {{"type": "{found.kind}", "artifact": "{found.id}"}}')


def list_all(limit: Limit = 50, url: Url = None, as_json: AsJson = False) -> None:
    """List uploaded artifacts, newest first."""
    with Client(url) as client:
        print_uploads(client.artifacts(limit=limit), limit, as_json=as_json)


def show(artifact_id: ArtifactId, url: Url = None, as_json: AsJson = False) -> None:
    """Print what is known of an uploaded artifact."""
    with Client(url) as client:
        print_upload(client.artifact(artifact_id), as_json=as_json)


def delete(artifact_id: ArtifactId, url: Url = None) -> None:
    """Delete an uploaded artifact that no live job trains."""
    with Client(url) as client:
        client.delete_artifact(artifact_id)
    tell(f"Artifact {artifact_id} is deleted.")
