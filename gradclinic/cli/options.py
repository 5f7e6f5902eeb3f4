"""The arguments and options that several commands share, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradclinic.cli.exits import FailOn

SpecPath = Annotated[
    str, typer.Argument(metavar="SPEC", help="A job spec in JSON or YAML (.yaml, .yml); - reads standard input.")
]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]
Url = Annotated[
    str | None, typer.Option("--url", help="The service; GRADCLINIC_URL, else http://127.0.0.1:8000.", metavar="URL")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON; of a failure, a problem document.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the diagnosis and print it.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=0.0, metavar="SECONDS", help="Wait no longer; then end with 4.")
]
FailOnOption = Annotated[
    FailOn, typer.Option("--fail-on", help="End with 1 at a finding of this severity or a worse one.")
]
Verify = Annotated[
    bool,
    typer.Option("--verify/--no-verify", help="Prove the proposed fixes, as the spec's `verification` asks; or none."),
]
ArtifactFile = Annotated[
    Path | None,
    typer.Option(
        "--artifact",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        readable=True,
        help="The file that the spec's `artifact` stands for.",
    ),
]
