"""Whatever layers are posted: they are refused with faults, or they can be trained. Nothing else comes out."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gradclinic.contract.parse import parse_spec
from gradclinic.errors import InvalidSpec
from gradclinic.model import build_model, resolve_spec

SIZES = st.integers(1, 4)
DIMENSIONS = st.integers(-3, 3)

LAYERS = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("Linear"), "out_features": SIZES}, optional={"in_features": SIZES, "bias": st.booleans()}
    ),
    st.fixed_dictionaries(
        {"type": st.just("BatchNorm1d")}, optional={"num_features": SIZES, "track_running_stats": st.booleans()}
    ),
    st.fixed_dictionaries(
        {"type": st.just("LayerNorm")}, optional={"normalized_shape": st.lists(SIZES, min_size=1, max_size=2)}
    ),
    st.fixed_dictionaries({"type": st.just("Flatten")}, optional={"start_dim": DIMENSIONS, "end_dim": DIMENSIONS}),
    st.fixed_dictionaries({"type": st.just("PReLU")}, optional={"num_parameters": SIZES}),
    st.sampled_from([{"type": "Tanh"}, {"type": "Dropout"}]),
)


def _combined(layers: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    chain = st.lists(layers, min_size=1, max_size=2)
    return st.one_of(
        st.fixed_dictionaries({"type": st.just("Repeat"), "times": st.integers(1, 3), "layers": chain}),
        st.fixed_dictionaries({"type": st.just("Residual"), "layers": chain}, optional={"shortcut": chain}),
        st.fixed_dictionaries({"type": st.just("Sequential"), "layers": chain}),
    )


TASKS = st.sampled_from(
    [
        ({"type": "iris"}, "CrossEntropyLoss"),
        ({"type": "iris"}, "MSELoss"),
        ({"type": "moons"}, "BCEWithLogitsLoss"),
        ({"type": "moons"}, "HuberLoss"),
        ({"type": "diabetes"}, "MSELoss"),
        ({"type": "diabetes"}, "L1Loss"),
    ]
)
INITS = st.sampled_from(["eye_", "orthogonal_", "dirac_", "xavier_normal_", "zeros_", None])


@given(st.lists(st.recursive(LAYERS, _combined, max_leaves=5), min_size=1, max_size=4), TASKS, SIZES, INITS)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_is_refused_or_can_be_trained(layers, task, outputs, init):
    data, loss = task
    model: dict[str, Any] = {"layers": [*layers, {"type": "Linear", "out_features": outputs}]}
    if init is not None:
        model["init"] = {"weight": {"type": init}}
    spec = parse_spec({"model": model, "data": data, "loss": {"type": loss}, "optimizer": {"type": "SGD"}})
    try:
        resolved = resolve_spec(spec)
    except InvalidSpec:
        return
    network = build_model(spec.model, tuple(resolved.input_shape), seed=0)
    with torch.random.fork_rng(devices=[]):  # Dropout draws
        output = network(torch.zeros(5, *resolved.input_shape))
    assert list(output.shape[1:]) == resolved.output_shape
    targets = torch.zeros(5, dtype=torch.int64) if loss == "CrossEntropyLoss" else torch.zeros(5, 1)
    getattr(nn, loss)()(output, targets).backward()  # a broadcast would warn, and a warning is an error here
    assert any(parameter.grad is not None for parameter in network.parameters())
