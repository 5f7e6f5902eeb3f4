"""How fixes are laid out for a terminal: what to change and why, what a trial showed, and the patch in plain words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jsonpatch
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradclinic.contract.diagnosis import Effect, Fix
from gradclinic.report.writing import foreign

_VERDICT_STYLES = {
    "verified": "bold green", "no_effect": "yellow", "harmful": "bold red", "inconclusive": "yellow", "untested": "dim",
}  # fmt: skip
_LONGEST_VALUE = 72
_MISSING = object()
_AUTHORS_AND_YEAR = re.compile(r".{1,60}?\b(?:19|20)\d\d\b")


def render_fix(fix: Fix, place: int, document: Mapping[str, Any] | None, job_id: str | None) -> RenderableType:
    """Lay out a fix, the `place`-th of its diagnosis. With the spec (`document`) the patch shows what it replaces."""
    head = Text.assemble((f"{place}. ", "bold"), foreign(fix.title, "bold"))
    if fix.recommended:
        head.append("  recommended", "bold green")
    verdict = Text.assemble((fix.kind, "cyan"), "  ", (fix.verdict.replace("_", " "), _VERDICT_STYLES[fix.verdict]))
    if fix.verdict_why is not None:
        verdict.append(". ").append_text(foreign(fix.verdict_why))
    inside: list[RenderableType] = [verdict]
    if fix.effect is not None and (drawn := _render_effect(fix.effect)):
        inside.append(drawn)
    inside.extend((foreign(fix.why), render_patch(fix.patch, document)))
    if fix.references:
        inside.append(foreign(f"see {'; '.join(dict.fromkeys(map(_cited, fix.references)))}", "dim"))
    if job_id is not None:
        inside.append(Text.assemble(("try it: ", "dim"), foreign(f"gradclinic apply {job_id} {fix.id}")))
    return Group(head, Padding.indent(Group(*inside), 3))


def render_patch(patch: Sequence[Mapping[str, Any]], document: Mapping[str, Any] | None = None) -> RenderableType:
    """Lay out a JSON Patch, one line an operation: what, where, and from what to what."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(style="cyan", overflow="fold")
    table.add_column(overflow="fold")
    here: Any = document
    for operation in patch:
        table.add_row(str(operation["op"]), foreign(str(operation["path"])), _change(operation, here))
        here = _applied(operation, here)
    return table


def _change(operation: Mapping[str, Any], document: Any) -> Text:
    before = _value_at(document, operation["path"])
    match operation["op"]:
        case "move" | "copy":
            return Text.assemble(("from ", "dim"), foreign(str(operation["from"])))
        case "remove":
            return foreign(_shown(before), "red") if before is not _MISSING else Text()
        case "replace" if before is not _MISSING:
            arrow = Text.assemble(foreign(_shown(before), "red"), (" -> ", "dim"))
            return arrow.append_text(foreign(_shown(operation["value"]), "green"))
        case _:
            return foreign(_shown(operation.get("value")), "green")


def _applied(operation: Mapping[str, Any], document: Any) -> Any:
    """Return the document after one operation: the places of the next ones are meant in that."""
    if document is None:
        return None
    try:
        return jsonpatch.apply_patch(document, [dict(operation)])
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException):
        # The patch belongs to another spec than the one at hand; it is still readable without what it replaces.
        return None


def _value_at(document: Any, path: str) -> Any:
    if document is None:
        return _MISSING
    try:
        return jsonpatch.JsonPointer(path).resolve(document, _MISSING)
    except jsonpatch.JsonPointerException:
        return _MISSING


def _shown(value: Any) -> str:
    """Write a value of a spec as one would say it: `{"type": "ReLU"}` is ReLU, with keywords ELU(alpha=0.5)."""
    text = _said(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def _said(value: Any) -> str:
    if isinstance(value, Mapping) and isinstance(value.get("type"), str):
        keywords = ", ".join(f"{key}={_said(given)}" for key, given in value.items() if key != "type")
        return f"{value['type']}({keywords})" if keywords else value["type"]
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_said(given)}" for key, given in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_said(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _cited(reference: str) -> str:
    """Cite a reference by authors and year; the diagnosis itself has all of it."""
    found = _AUTHORS_AND_YEAR.match(reference)
    return found[0] if found else reference


def _render_effect(effect: Effect) -> Text:
    """Draw what the verdict does not say in words: what it brings with it, and what it costs."""
    drawn = Text()
    if effect.findings_introduced:
        drawn.append_text(foreign(f"brings {', '.join(effect.findings_introduced)}  ", "red"))
    # Times of single trainings are noisy: what counts is half as much again.
    ratios = (("time", effect.cost.time, 1.5), ("parameters", effect.cost.parameters, 1.01))
    costs = [f"{ratio:.3g} times the {what}" for what, ratio, least in ratios if ratio is not None and ratio >= least]
    if costs:
        drawn.append(f"costs {' and '.join(costs)}", "dim")
    return drawn
