"""`python -m tools.rules_page`: write docs/rules.md from the rules' own documentation and the table of thresholds."""

from __future__ import annotations

from pathlib import Path

from gradclinic.contract.catalogue import RuleInfo
from gradclinic.diagnosis import RULES, THRESHOLDS, catalogue

PAGE = Path(__file__).parents[1] / "docs" / "rules.md"

HEAD = """# Rules

Made by `python -m tools.rules_page` from the rules themselves; `GET /v1/rules` says the same. Severity is `critical` where the model did
not learn, `warning` where learning is clearly harmed, `info` where a symptom is there and does no harm. A rule whose signals were not
recorded is named in the diagnosis's notes.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(write_page())


def write_page() -> str:
    """Return the page, as Markdown."""
    causes = {rule.id: rule.caused_by for rule in RULES}
    parts = [HEAD, *(_of_rule(info, causes[info.id]) for info in catalogue()), _thresholds()]
    return "\n".join(parts)


def _of_rule(info: RuleInfo, causes: tuple[str, ...]) -> str:
    lines = [f"## {info.id}", info.title]
    before = info.foresees or "Nothing: it takes a training."
    told = (("Sees", info.sees), ("Hurts", info.hurts), ("Silent", info.silent), ("Before training", before))
    for heading, text in (*told, ("Source", info.source)):
        lines.append(f"**{heading}:** {text}")
    lines.append("**Signals:** " + ", ".join(f"`{signal}`" for signal in info.signals))
    if info.thresholds:
        lines.append("**Thresholds:** " + ", ".join(f"`{one.name}` {one.default:g}" for one in info.thresholds))
    if causes:
        lines.append("**May follow from:** " + ", ".join(f"[{cause}](#{cause})" for cause in causes))
    return "\n\n".join(lines) + "\n"


def _thresholds() -> str:
    rows = [f"| `{one.name}` | {one.default:g} | {one.meaning} | {one.source} |" for one in THRESHOLDS.values()]
    head = ["## Thresholds", "", "A spec overrides them under `diagnosis.thresholds`.", ""]
    return "\n".join([*head, "| name | default | meaning | source |", "| --- | --- | --- | --- |", *rows]) + "\n"


if __name__ == "__main__":
    main()
