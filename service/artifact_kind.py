"""What an uploaded artifact is: checked before it is stored, so that no spec can ever name a broken one."""

from __future__ import annotations

from gradclinic.contract.uploaded import ArtifactKind
from gradclinic.errors import Fault, InvalidSpec
from service.uploading import Received

HEADER_START = 9
"""Bytes before which a safetensors file says nothing: the length of its header, and the brace that opens that."""


def kind_of_artifact(received: Received, name: str | None) -> ArtifactKind:  # noqa: ARG001 - a name decides nothing here
    """Tell what kind of artifact was uploaded.

    Raises:
        InvalidSpec: It is no safetensors file.
    """
    start = received.content.read(HEADER_START)
    length = int.from_bytes(start[:8], "little")
    if len(start) < HEADER_START or start[8:] != b"{" or length > received.size - 8:
        message = f"This does not begin like a safetensors file: {start!r}."
        raise InvalidSpec([Fault("", message, "a file that `gradclinic.export.export_artifact` wrote")])
    return "graph"
