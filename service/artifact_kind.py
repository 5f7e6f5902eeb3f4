"""What an uploaded artifact is: read and checked before it is stored, so that no spec can ever name a broken one."""

from __future__ import annotations

from dataclasses import replace

from gradclinic.contract.limits import Limits
from gradclinic.contract.uploaded import ArtifactKind
from gradclinic.errors import InvalidSpec
from gradclinic.graph import read_graph
from service.uploading import Received


def kind_of_artifact(received: Received, name: str | None, limits: Limits) -> ArtifactKind:  # noqa: ARG001 - a name decides nothing here
    """Tell what kind of artifact was uploaded. Its weights are not read, and nothing in it is run.

    Raises:
        InvalidSpec: It is none, holds what is not allowed, or more than the limits allow.
    """
    try:
        read_graph(received.content, limits)
    except InvalidSpec as wrong:
        # There is no spec here: the whole body is the artifact.
        raise InvalidSpec([replace(fault, pointer="") for fault in wrong.faults]) from None
    return "graph"
