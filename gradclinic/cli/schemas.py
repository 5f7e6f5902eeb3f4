"""The command that prints the JSON Schema of a spec, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gradclinic.cli.printing import print_json
from gradclinic.cli.telling import tell
from gradclinic.contract.schema import spec_schema

Output = Annotated[str | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there instead.")]
OfSweep = Annotated[bool, typer.Option("--sweep", help="The schema of a spec with a sweep beside it.")]


def schema(*, output: Output = None, sweep: OfSweep = False) -> None:
    """Print the JSON Schema of a job spec; editors complete and check specs in JSON and YAML by it."""
    document = spec_schema(sweep=sweep)
    if output is None:
        print_json(document)
        return
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{output} cannot be written: {error.strerror or error}.") from error
    tell(f"Written to {output}. In YAML, name it in a first line: # yaml-language-server: $schema={output}")
