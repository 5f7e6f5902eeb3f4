"""docs/configuration.md lists the settings as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gradclinic.contract.limits import Limits
from store.settings import PREFIX, Settings

ROW = re.compile(r"^\| `(GRADCLINIC_\w+)` \| (?:`([^`]*)`|none) \|", re.MULTILINE)
"""A row of a table: the variable, its default, then words."""

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text()


def defaults() -> dict[str, str]:
    """Every variable with its default as the page writes it; the empty string where there is none."""
    found = {name: field.default for name, field in Settings.model_fields.items() if name != "limits"}
    found |= {name: field.default for name, field in Limits.model_fields.items()}
    return {f"{PREFIX}{name}".upper(): written(value) for name, value in found.items()}


def written(value: object) -> str:
    if value is None or value == ():
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize(("variable", "default"), defaults().items())
def test_every_setting_is_listed_with_its_default(variable: str, default: str) -> None:
    assert dict(ROW.findall(PAGE)).get(variable) == default


def test_no_other_setting_is_listed() -> None:
    assert dict(ROW.findall(PAGE)).keys() == defaults().keys()
