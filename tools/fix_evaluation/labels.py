"""What the labels of the cases say about fixes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Repairs:
    """Kinds of fixes that repaired a case in independent reference runs, and kinds that did not."""

    is_sick: bool
    repairs: frozenset[str]
    useless: frozenset[str]


def read_repairs(folder: Path) -> dict[str, Repairs]:
    """Read the labels of every case of a folder, by its id."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_text())
        truth = document["truth"]
        repairs, useless = (frozenset(truth.get(name) or ()) for name in ("repairs", "useless"))
        found[document["id"]] = Repairs(truth["health"] != "healthy", repairs, useless)
    return found
