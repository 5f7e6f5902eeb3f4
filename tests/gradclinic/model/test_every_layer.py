"""Every layer of the contract with random keywords: what is resolved on `meta` is what the real layer gives."""

from __future__ import annotations

import itertools
import math
from typing import Any, get_args

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gradclinic.contract.layer import LayerSpec
from gradclinic.contract.layers import AnyLayer, Combinator
from gradclinic.contract.parse import parse_document
from gradclinic.contract.spec import Model
from gradclinic.errors import InvalidSpec
from gradclinic.model import build_model
from gradclinic.model.fits import INFERRED
from gradclinic.model.resolver import Resolver
from gradclinic.model.sample import Sample

# PyTorch tells what is slower so; the shapes are the same.
pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths"),
]

LEAVES: dict[str, type[LayerSpec]] = {
    kind.__name__: kind for kind in get_args(AnyLayer) if kind not in get_args(Combinator)
}

BATCH = 3

NORMALISING_BATCHES = ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d")


CHANNELS = ("in_channels", "num_features", "num_channels")
"""Sizes of the first dimension of a sample; the other inferred ones are of the last."""


def several(low: int, high: int, length: int) -> st.SearchStrategy[Any]:
    """One number for all dimensions, or a list of one each."""
    one = st.integers(low, high)
    return one | st.lists(one, min_size=length, max_size=length)


SMALL = st.floats(0.1, 2.0)

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "index": st.integers(-2, 1),
    "start_dim": st.sampled_from([1, 2, -1, -2]),
    "end_dim": st.sampled_from([1, 2, -1, -2]),
    "unflattened_size": st.sampled_from([[2, 2], [4, 1], [1, 2, 2]]),
    **dict.fromkeys(("num_heads", "nhead", "groups", "num_groups"), st.sampled_from([1, 2])),
    "out_channels": st.sampled_from([2, 4]),
    "num_embeddings": st.integers(10, 12),
    "hidden_size": st.integers(3, 5),
    **dict.fromkeys(("proj_size", "padding_idx"), st.integers(0, 2)),
    **dict.fromkeys(("dropout", "p", "lower", "upper", "momentum"), st.floats(0, 1)),
    **dict.fromkeys(("min_val", "max_val", "threshold", "value", "init", "lambd", "alpha", "beta"), SMALL),
    **dict.fromkeys(("negative_slope", "eps", "layer_norm_eps", "max_norm", "norm_type"), SMALL),
}
"""Values that most often fit whatever the shape is."""


def values_of(key: str, kind: str, shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Values of one keyword, most of which fit samples of `shape`."""
    dimensions = int(kind[-2]) if kind[-1] == "d" and kind[-2].isdigit() else max(1, len(shape) - 1)
    factor = st.sampled_from([0.5, 1.0, 1.3, 2.0])
    padding = several(0, 1, dimensions)
    if kind.startswith("Conv") and "Transpose" not in kind:
        padding |= st.sampled_from(["same", "valid"])
    shaped: dict[str, st.SearchStrategy[Any]] = {
        **dict.fromkeys(("kernel_size", "output_size"), several(1, 3, dimensions)),
        **dict.fromkeys(("stride", "dilation"), several(1, 2, dimensions)),
        "padding": several(0, 2, 4) if kind == "ZeroPad2d" else padding,
        "output_padding": several(0, 1, dimensions),
        "size": several(1, 6, dimensions),
        "scale_factor": factor | st.lists(factor, min_size=dimensions, max_size=dimensions),
        "dim": st.integers(-len(shape), len(shape)).filter(bool),
        "normalized_shape": st.sampled_from([None, shape[-1], list(shape[-1:]), list(shape)]),
        "num_parameters": st.sampled_from([1, shape[0]]),
    }
    return (VALUES | shaped).get(key, st.integers(1, 5))


def values_by_kind(key: str, kind: str, annotation: Any, shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    if annotation is bool:
        return st.booleans()
    choices = [word for word in get_args(annotation) if isinstance(word, str)]
    return st.sampled_from(choices) if choices else values_of(key, kind, shape)


def shape_of(kind: str) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes of samples that a layer takes."""
    size = st.integers(3, 5)
    if kind[-1] == "d" and kind[-2].isdigit():
        channels = st.just(4)
        spatial = st.lists(size, min_size=int(kind[-2]), max_size=int(kind[-2]))
        shapes = st.tuples(channels, spatial).map(lambda drawn: (drawn[0], *drawn[1]))
        return shapes | st.just((4,)) if kind == "BatchNorm1d" else shapes
    if kind in ("RNN", "LSTM", "GRU", "PositionalEncoding"):
        return st.tuples(size, size)
    if kind in ("MultiheadAttention", "TransformerEncoderLayer"):
        return st.tuples(size, st.just(4))
    if kind == "Upsample":
        return st.lists(size, min_size=2, max_size=4).map(tuple)
    return st.lists(st.just(4), min_size=1, max_size=3).map(tuple)


@st.composite
def layers(draw: st.DrawFn, kind: str) -> tuple[dict[str, Any], tuple[int, ...]]:
    """A layer of this kind as it is posted, and a shape that it may take."""
    shape = draw(shape_of(kind))
    posted: dict[str, Any] = {"type": kind}
    for key, field in LEAVES[kind].model_fields.items():
        if key in ("type", "name", "frozen") or (key == "init" and kind != "PReLU"):
            continue
        if key in INFERRED - {"normalized_shape"}:
            right = shape[0] if key in CHANNELS else shape[-1]
            posted |= draw(st.sampled_from([{}, {key: None}, {key: right}]))
            continue
        if field.is_required() or key in ("size", "scale_factor") or draw(st.booleans()):
            posted[key] = draw(values_by_kind(key, kind, field.annotation, shape))
    if kind == "Upsample":
        posted.pop(draw(st.sampled_from(["size", "scale_factor"])), None)
        modes = {2: ["nearest", "linear"], 3: ["nearest", "bilinear", "bicubic"], 4: ["nearest", "trilinear"]}
        posted["mode"] = draw(st.sampled_from(modes[len(shape)]))
        if posted["mode"] == "nearest":
            posted.pop("align_corners", None)
    return posted, shape


def inputs_of(shape: tuple[int, ...], integers: bool) -> torch.Tensor:
    numbers = torch.arange(BATCH * math.prod(shape)).reshape(BATCH, *shape)
    return numbers % 10 if integers else torch.sin(numbers.float() + 1)


def parsed(*posted: dict[str, Any]) -> Model:
    try:
        return parse_document(Model, {"layers": list(posted)})
    except InvalidSpec:
        assume(False)  # keywords that contradict each other, which the contract refuses
        raise


@pytest.mark.parametrize("kind", sorted(LEAVES))
@given(st.data())
@settings(max_examples=12, deadline=None, derandomize=True)
def test_what_is_resolved_is_what_it_gives(kind, data):
    posted, shape = data.draw(layers(kind))
    integers = kind == "Embedding"
    model = parsed(posted)
    resolution = Resolver(model, BATCH).resolve(Sample(shape, integers))
    assert not {pointer.rsplit("/", maxsplit=1)[-1] for pointer in resolution.faults} & INFERRED, "the right size"
    assume(not resolution.faults)
    network = build_model(model, shape, seed=0, integers=integers)
    (entry,) = resolution.entries.values()
    assert entry.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert entry.tensors == len(list(network.parameters()))
    x = inputs_of(shape, integers)
    seen = []
    dict(network.named_modules())["layers.0"].register_forward_hook(lambda _m, _i, output: seen.append(output.shape))
    for training in (True, False):
        network.train(training)
        with torch.random.fork_rng(devices=[]), torch.set_grad_enabled(training):
            output = network(x)
        assert tuple(output.shape) == (BATCH, *resolution.output.shape)
        assert seen.pop() == output.shape
        assert output.is_floating_point() != resolution.output.integers
        if training and entry.parameters:
            output.square().sum().backward()
            assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("kind", sorted(set(LEAVES) - set(NORMALISING_BATCHES)))
@given(st.data())
@settings(max_examples=5, deadline=None, derandomize=True)
def test_samples_do_not_see_each_other(kind, data):
    posted, shape = data.draw(layers(kind))
    integers = kind == "Embedding"
    model = parsed(posted)
    assume(not Resolver(model, BATCH).resolve(Sample(shape, integers)).faults)
    network = build_model(model, shape, seed=0, integers=integers).eval()
    x = inputs_of(shape, integers)
    other = x.clone()
    other[0] = (other[0] + 1) % 10 if integers else -2 * other[0]
    with torch.no_grad():
        torch.testing.assert_close(network(x)[1:], network(other)[1:], equal_nan=True)


def test_there_is_a_test_for_every_layer():
    assert len(LEAVES) + len(get_args(Combinator)) == len(get_args(AnyLayer))
    assert all(name == kind.model_fields["type"].annotation.__args__[0] for name, kind in LEAVES.items())


BLOCKS = st.recursive(
    st.sampled_from(
        [
            {"type": "Conv2d", "out_channels": 2, "kernel_size": 3, "padding": "same"},
            {"type": "GroupNorm", "num_groups": 1},
            {"type": "ReLU", "inplace": True},
            {"type": "Dropout2d"},
        ]
    ),
    lambda inner: st.lists(inner, min_size=1, max_size=2).flatmap(
        lambda chain: st.sampled_from(
            [
                {"type": "Sequential", "layers": chain},
                {"type": "Repeat", "times": 2, "layers": chain},
                {"type": "Dense", "times": 2, "layers": chain},
                {"type": "Dense", "times": 1, "layers": chain, "dim": -3},
                {"type": "Parallel", "branches": [chain, [{"type": "Identity"}]], "merge": "concat"},
                {"type": "Parallel", "branches": [chain, [{"type": "Identity"}], chain], "merge": "sum"},
                {"type": "Residual", "layers": chain},
            ]
        )
    ),
    max_leaves=5,
)


@given(st.lists(BLOCKS, min_size=1, max_size=2))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_combinators_give_what_is_resolved_and_leave_their_input_alone(blocks):
    model = parsed(*blocks, {"type": "Conv2d", "out_channels": 1, "kernel_size": 1})
    resolution = Resolver(model, BATCH).resolve(Sample((2, 4, 4)))
    assume(not resolution.faults)
    network, again = (build_model(model, (2, 4, 4), seed=0) for _ in range(2))
    x = inputs_of((2, 4, 4), integers=False)
    before = x.clone()
    with torch.random.fork_rng(devices=[]):
        output = network(x)
    assert tuple(output.shape[1:]) == resolution.output.shape
    assert torch.equal(x, before)
    entries = resolution.entries.values()
    assert sum(entry.parameters for entry in entries) == sum(parameter.numel() for parameter in network.parameters())
    pairs = itertools.zip_longest(network.named_parameters(), again.named_parameters())
    assert all(one[0] == other[0] and torch.equal(one[1], other[1]) for one, other in pairs)
