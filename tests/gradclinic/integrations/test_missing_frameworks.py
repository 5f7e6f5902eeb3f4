"""What importing a callback says where its framework is not installed."""

from __future__ import annotations

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "framework"),
    [("lightning", "lightning"), ("huggingface", "transformers"), ("huggingface", "accelerate")],
)
def test_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, module: str, framework: str):
    name = f"gradclinic.integrations.{module}"
    for loaded in [one for one in sys.modules if one.partition(".")[0] == framework]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, framework, None)  # Python's own mark of a module that is not there
    with pytest.raises(ModuleNotFoundError, match=rf"pip install 'gradclinic\[{module}\]'"):
        importlib.import_module(name)
