"""Specs of images and of sequences, drawn at random: convolutions, recurrent layers and transformers in all combinators."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Layer = dict[str, Any]

IMAGES = ({"type": "digits", "flatten": False}, {"type": "random_images", "samples": 40, "shape": [3, 9, 8]})
SEQUENCES = (
    {"type": "adding_problem", "samples": 40, "length": 6},
    {"type": "adding_problem", "samples": 9, "length": 5},
)
ACTIVATIONS = ("ReLU", "Tanh", "Sigmoid", "SELU", "GELU")
CONV = {"type": "Conv2d", "kernel_size": 3, "padding": 1}
KEEPING: tuple[Layer, ...] = (
    {"type": "BatchNorm2d"}, {"type": "Dropout2d", "p": 0.2}, {"type": "Identity"}, {"type": "InstanceNorm2d"},
)  # fmt: skip
RESIZING: tuple[Layer, ...] = (
    {"type": "MaxPool2d", "kernel_size": 2}, {"type": "AvgPool2d", "kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"type": "MaxPool2d", "kernel_size": [2, 3], "stride": 1}, {"type": "Upsample", "scale_factor": 1.5},
    {"type": "AdaptiveMaxPool2d", "output_size": [5, 4]}, {"type": "ZeroPad2d", "padding": [1, 0, 2, 0]},
)  # fmt: skip


@st.composite
def image_specs(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a spec of pictures; its shapes may not meet everywhere."""
    layers = [layer for _ in range(draw(st.integers(1, 4))) for layer in draw(_image_layers(2))]
    layers += [*draw(st.sampled_from(([{"type": "AdaptiveAvgPool2d", "output_size": 1}], []))), {"type": "Flatten"}]
    return _spec(draw, [*layers, {"type": "Linear", "out_features": 10}], draw(st.sampled_from(IMAGES)))


@st.composite
def sequence_specs(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a spec of sequences; its shapes may not meet everywhere."""
    layers = [draw(_sequence_layer(2)) for _ in range(draw(st.integers(1, 4)))]
    end = draw(st.sampled_from(({"type": "Select", "dim": 1}, {"type": "Mean", "dim": 1}, {"type": "Max", "dim": -2})))
    spec = _spec(draw, [*layers, end, {"type": "Linear", "out_features": 1}], draw(st.sampled_from(SEQUENCES)))
    return {**spec, "loss": {"type": "MSELoss"}}


def _spec(draw: st.DrawFn, layers: list[Layer], data: Layer) -> dict[str, Any]:
    model: dict[str, Any] = {"layers": layers}
    if draw(st.booleans()):
        model["init"] = draw(
            st.sampled_from(({"weight": {"type": "normal_", "std": 1.0}}, {"bias": {"type": "ones_"}}))
        )
    return {
        "model": model,
        "data": data,
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": draw(st.sampled_from(({"type": "SGD", "lr": 0.1}, {"type": "Adam"}))),
        "training": {"batch_size": draw(st.sampled_from((4, 64)))},
    }


@st.composite
def _image_layers(draw: st.DrawFn, depth: int) -> list[Layer]:
    kinds = ["conv", "conv", "block", "strided", "transposed", "keeping", "resizing", "activation"]
    kind = draw(st.sampled_from(kinds + ["Residual", "Dense", "Parallel", "Repeat", "Repeat"] * bool(depth)))
    channels, activation = draw(st.sampled_from((4, 4, 6))), {"type": draw(st.sampled_from(ACTIVATIONS))}
    conv: Layer = {**CONV, "out_channels": channels}
    match kind:
        case "conv":
            return [conv, activation]
        case "block":
            return [conv, {"type": "BatchNorm2d"}, activation]
        case "strided":
            shape = {"kernel_size": [3, 2], "stride": 2, "padding": draw(st.sampled_from((1, "valid"))), "dilation": 1}
            return [{**conv, **shape}, activation]
        case "transposed":
            return [{"type": "ConvTranspose2d", "out_channels": channels, "kernel_size": 2, "stride": 2}]
        case "keeping":
            return [draw(st.sampled_from(KEEPING))]
        case "resizing":
            return [draw(st.sampled_from(RESIZING))]
        case "activation":
            return [activation]
    inner = draw(_image_layers(depth - 1))
    if kind == "Residual":
        shortcut = draw(st.sampled_from(("identity", [{"type": "Conv2d", "kernel_size": 1, "out_channels": channels}])))
        return [{"type": "Residual", "layers": [*inner, conv, activation], "shortcut": shortcut}]
    if kind == "Parallel":
        merge = draw(st.sampled_from(("sum", "concat")))
        return [{"type": "Parallel", "branches": [inner, [conv, activation]], "merge": merge}]
    return [{"type": kind, "times": draw(st.integers(1, 5)), "layers": inner}]


@st.composite
def _sequence_layer(draw: st.DrawFn, depth: int) -> Layer:
    recurrent = ["RNN", "LSTM", "GRU"]
    plain = ["Linear", "LayerNorm", "activation", "PositionalEncoding", "attention", "transformer", "Dropout"]
    kind = draw(st.sampled_from(recurrent + plain + ["Residual", "Dense", "Sequential", "Repeat"] * bool(depth)))
    if kind in recurrent:
        size, both = draw(st.sampled_from((4, 4, 6))), draw(st.booleans())
        stacked = draw(st.sampled_from(({}, {"num_layers": 2, "dropout": 0.5})))
        return {"type": kind, "hidden_size": size, "bidirectional": both, **stacked}
    match kind:
        case "Linear":
            return {"type": "Linear", "out_features": draw(st.sampled_from((4, 4, 6)))}
        case "activation":
            return {"type": draw(st.sampled_from(ACTIVATIONS))}
        case "attention":
            return {"type": "MultiheadAttention", "num_heads": 2}
        case "transformer":
            return {"type": "TransformerEncoderLayer", "nhead": 2, "dim_feedforward": 8}
        case "LayerNorm" | "PositionalEncoding" | "Dropout":
            return {"type": kind}
    inner = [draw(_sequence_layer(depth - 1)) for _ in range(draw(st.integers(1, 3)))]
    if kind == "Dense":
        return {
            "type": "Dense",
            "times": draw(st.integers(1, 4)),
            "layers": inner,
            "dim": draw(st.sampled_from((2, -1))),
        }
    turns = {"times": draw(st.integers(1, 4))} if kind == "Repeat" else {}
    return {"type": kind, "layers": inner, **turns}
