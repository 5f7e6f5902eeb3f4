"""A labelled case: a spec and the truth about it, read from a file."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradclinic.contract.diagnosis import Health


@dataclass(frozen=True)
class Labelled:
    """One case. `must` are the rules that have to fire at `warning` or above, `may` those that count neither way."""

    id: str
    family: str
    spec: dict[str, Any]
    health: Health
    must: frozenset[str]
    may: frozenset[str]

    def on_seed(self, seed: int) -> dict[str, Any]:
        """Return the spec with initialization, order of batches and split of the data drawn from another seed."""
        document = copy.deepcopy(self.spec)
        document.setdefault("training", {})["seed"] = seed
        document["data"]["seed"] = seed
        return document


def read_cases(folder: Path) -> list[Labelled]:
    """Read every case of a folder, by name.

    Raises:
        FileNotFoundError: There is none.
    """
    cases = [_read(path) for path in sorted(folder.glob("*.json"))]
    if not cases:
        raise FileNotFoundError(f"There is no case in {folder}: expected files `*.json` with `spec` and `truth`.")
    return cases


def families(cases: Iterable[Labelled]) -> list[str]:
    """Return the families of cases, sick ones first."""
    return sorted({case.family for case in cases}, key=lambda family: (family.startswith(("h_", "trap")), family))


def _read(path: Path) -> Labelled:
    document = json.loads(path.read_text())
    truth = document["truth"]
    return Labelled(
        id=document["id"],
        family=document["family"],
        spec=document["spec"],
        health=truth["health"],
        must=frozenset(truth["must"]),
        may=frozenset(truth["may"]),
    )
