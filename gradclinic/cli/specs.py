"""The command about specs alone: validate."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from gradclinic.cli.local import check_spec, local_files
from gradclinic.cli.options import ArtifactFile, AsJson, SpecPath, Url
from gradclinic.cli.printing import print_json, print_report
from gradclinic.cli.problems import TorchMissing
from gradclinic.cli.source import read_source
from gradclinic.cli.telling import faults_told, tell
from gradclinic.client import Client
from gradclinic.contract.resolved import ResolvedSpec
from gradclinic.errors import RequestFailed, ServiceUnreachable
from gradclinic.report import render_resolved

Local = Annotated[bool, typer.Option("--local", help="Check in this process, without a service (needs PyTorch).")]


_HINT = "To check a spec in this process, without a service, add --local."


def validate(
    *,
    spec: SpecPath,
    local: Local = False,
    artifact: ArtifactFile = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Check a spec without training it, and print its model with every size worked out. With --artifact that is done here."""
    source, files = read_source(spec), local_files(artifact)
    with faults_told(source):
        document = source.load()
        resolved = check_spec(document, files)[1] if local or artifact is not None else _check_by_service(document, url)
    if as_json:
        print_json(resolved)
    else:
        print_report(render_resolved(resolved))


def _check_by_service(document: Any, url: str | None) -> ResolvedSpec:
    """Let a service check a spec; where none was named and none is there, check it in this process and say so."""
    try:
        with Client(url) as client:
            return client.validate(document)
    except RequestFailed:
        raise
    except ServiceUnreachable as error:
        if url is not None or "GRADCLINIC_URL" in os.environ:
            raise ServiceUnreachable(f"{error} {_HINT}") from error
        try:
            resolved = check_spec(document, local_files())[1]
        except TorchMissing:
            raise error from None
        tell("No service answers, so the spec was checked in this process, as --local does.")
        return resolved
