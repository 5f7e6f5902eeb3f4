"""What these tests share: a spec around some layers, and the faults that resolving one gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from gradclinic.contract.limits import DEFAULT_LIMITS, Limits
from gradclinic.contract.parse import parse_spec
from gradclinic.contract.spec import JobSpec
from gradclinic.errors import Fault, InvalidSpec
from gradclinic.model import resolve_spec

MakeSpec = Callable[..., JobSpec]
FindFaults = Callable[..., dict[str, Fault]]


def make(layers: list[dict[str, Any]], **changes: Any) -> JobSpec:
    """Make a spec of these layers on the digits, with other top-level keys changed."""
    document = {
        "model": {"layers": layers},
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD"},
    }
    return parse_spec(document | changes)


@pytest.fixture(scope="session")
def spec_of() -> MakeSpec:
    return make


@pytest.fixture(scope="session")
def faults_of() -> FindFaults:
    """Resolve a spec of these layers and return its faults by pointer; none if it is right."""

    def find(layers: list[dict[str, Any]], limits: Limits = DEFAULT_LIMITS, **changes: Any) -> dict[str, Fault]:
        spec = make(layers, **changes)
        try:
            resolve_spec(spec, limits)
        except InvalidSpec as refusal:
            faults = refusal.faults
        else:
            faults = ()
        assert len({fault.pointer for fault in faults}) == len(faults)
        return {fault.pointer: fault for fault in faults}

    return find


@pytest.fixture(autouse=True)
def _untouched_generator() -> Iterator[None]:
    """Whatever is resolved or built: PyTorch's global generator stays as it was."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before)
