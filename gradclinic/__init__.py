"""Gradient analysis for PyTorch trainings: history, diagnosis, fix and proof.

`Client` and `diagnose` work without torch; `Recorder` and `export_artifact` need it (`pip install gradclinic[torch]`).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradclinic.client import Client
    from gradclinic.diagnosis import diagnose
    from gradclinic.export import export_artifact
    from gradclinic.recorder import Recorder

__all__ = ["Client", "Recorder", "diagnose", "export_artifact"]

_HOMES = {
    "Client": "gradclinic.client",
    "Recorder": "gradclinic.recorder",
    "diagnose": "gradclinic.diagnosis",
    "export_artifact": "gradclinic.export",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that the client does not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gradclinic' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
