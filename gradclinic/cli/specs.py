"""The command about specs alone: validate."""

from __future__ import annotations

from typing import Annotated

import typer

from gradclinic.cli.local import check_spec
from gradclinic.cli.options import AsJson, SpecPath, Url
from gradclinic.cli.printing import print_json, print_report
from gradclinic.cli.source import read_source
from gradclinic.cli.telling import faults_told
from gradclinic.client import Client
from gradclinic.report import render_resolved

Local = Annotated[bool, typer.Option("--local", help="Check in this process, without a service (needs PyTorch).")]


def validate(*, spec: SpecPath, local: Local = False, url: Url = None, as_json: AsJson = False) -> None:
    """Check a spec without training it, and print its model with every size worked out."""
    source = read_source(spec)
    with faults_told(source):
        document = source.load()
        if local:
            resolved = check_spec(document)[1]
        else:
            with Client(url) as client:
                resolved = client.validate(document)
    if as_json:
        print_json(resolved)
    else:
        print_report(render_resolved(resolved))
