"""The command that takes a fix: the patched spec as a new job, or as a file with what changes in it shown."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.text import Text

from gradclinic.cli.jobs import Ending, follow
from gradclinic.cli.options import AsJson, FailOnOption, JobId, Timeout, Url, Wait
from gradclinic.cli.printing import print_aside, print_json
from gradclinic.cli.source import STANDARD_INPUT, YAML_ENDINGS
from gradclinic.cli.telling import tell
from gradclinic.client import Client
from gradclinic.contract.diagnosis import Fix
from gradclinic.contract.job import Job
from gradclinic.contract.patch import patch_document
from gradclinic.errors import RequestFailed

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
"""Words that some reader of YAML takes for something else."""

FixId = Annotated[
    str | None,
    typer.Argument(metavar="[FIX]", help="The fix's id, as the diagnosis lists it; by default the recommended one."),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Write the patched spec here, in YAML for .yaml and .yml; - prints it."
    ),
]
Submit = Annotated[bool, typer.Option("--submit", help="With --output: submit it as well.")]


def apply(  # noqa: PLR0913 - each an option of the command
    *,
    job_id: JobId,
    fix_id: FixId = None,
    output: Output = None,
    submit: Submit = False,
    wait: Wait = False,
    timeout: Timeout = None,
    fail_on: FailOnOption = "critical",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Submit a job's spec with one of its fixes applied, as a new job; with --output write it to a file and show what changes."""
    with Client(url) as client:
        if output is None:
            chosen = _find(client, job_id, None).id if fix_id is None else fix_id
            _submit(client, job_id, chosen, Ending(timeout, fail_on, as_json), wait=wait)
            return
        fix = _find(client, job_id, fix_id)
        document = client.job(job_id).spec
        patched = patch_document(document, fix.patch)
        _write(output, patched)
        print_aside(_difference(document, patched, fix))
        if submit:
            _submit(client, job_id, fix.id, Ending(timeout, fail_on, as_json), wait=wait)
        elif as_json and output != STANDARD_INPUT:
            print_json({"job": job_id, "fix": fix.id, "output": output})


def _submit(client: Client, job_id: str, fix_id: str, ending: Ending, *, wait: bool) -> None:
    follow(client, _apply_fix(client, job_id, fix_id), ending, wait=wait)


def _find(client: Client, job_id: str, fix_id: str | None) -> Fix:
    """Return a fix of a job, or the recommended one; where there is no such fix, say which there are."""
    fixes = client.diagnosis(job_id).fixes
    found = next((fix for fix in fixes if (fix.recommended if fix_id is None else fix.id == fix_id)), None)
    if found is None:
        raise RequestFailed(
            404, {"code": "not_found", "title": "There is no such fix", "detail": _known(job_id, fix_id, fixes)}
        )
    return found


def _apply_fix(client: Client, job_id: str, fix_id: str) -> Job:
    """Apply a fix; of an id that there is not, say which there are."""
    try:
        return client.apply_fix(job_id, fix_id)
    except RequestFailed as error:
        if error.status != 404:
            raise
        detail = _known(job_id, fix_id, client.diagnosis(job_id).fixes)
        raise RequestFailed(error.status, error.problem | {"detail": detail}) from error


def _known(job_id: str, fix_id: str | None, fixes: list[Fix]) -> str:
    known = ", ".join(fix.id for fix in fixes)
    missing = f"Of job {job_id} no fix is recommended." if fix_id is None else f"Job {job_id} has no fix {fix_id!r}."
    return f"{missing} " + (f"Its fixes: {known}." if known else "No fix was proposed.")


def _write(output: str, document: Mapping[str, Any]) -> None:
    if output == STANDARD_INPUT:
        print(_as_json(document))  # noqa: T201 - the result
        return
    text = _as_yaml(document) if output.lower().endswith(YAML_ENDINGS) else _as_json(document) + "\n"
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{output} cannot be written: {error.strerror or error}.") from error
    tell(f"Written to {output}.")


def _difference(before: Mapping[str, Any], after: Mapping[str, Any], fix: Fix) -> Text:
    """Lay out what a fix changes, as a unified diff of the spec in JSON."""
    old, new = _as_json(before).splitlines(), _as_json(after).splitlines()
    return Text("\n").join(_coloured(difflib.unified_diff(old, new, "as posted", fix.id, lineterm="")))


def _coloured(lines: Iterator[str]) -> Iterator[Text]:
    styles = {"+": "green", "-": "red", "@": "cyan"}
    for line in lines:
        yield Text(line, styles.get(line[0], ""))


def _as_json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def _as_yaml(document: Mapping[str, Any]) -> str:
    return yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes every text in quotes that is no plain word: PyYAML leaves them out where YAML 1.2 reads a number."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        """Write each value where it stands."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain else '"')


_Dumper.add_representer(str, _represent_text)
