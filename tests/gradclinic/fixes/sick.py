"""Specs and diagnoses to propose fixes for, made by hand and drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from hypothesis import strategies as st

from gradclinic.contract.diagnosis import Cause, Diagnosis, Evidence, Finding, RuleId

LINEAR, SIGMOID = {"type": "Linear", "out_features": 64}, {"type": "Sigmoid"}
OUTPUT = {"type": "Linear", "out_features": 10}


def spec_of(*layers: dict[str, Any], init: Any = None, **parts: Any) -> dict[str, Any]:
    """Make a spec on digits from its layers; `init` of the model, and other parts by their keys."""
    model: dict[str, Any] = {"layers": list(layers)}
    if init is not None:
        model["init"] = init
    return {
        "model": model,
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": 0.05},
        **parts,
    }


def repeat(times: int, *layers: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Repeat", "times": times, "layers": list(layers)}


def finding(rule: Any, cause: Any = None, *, detail: str = "", severity: Any = "critical", **rest: Any) -> Finding:
    """Make a finding; `cause` is what its cause is called."""
    made = Cause(what=cause, detail=detail, share=0.9) if cause else None
    return Finding(rule=rule, severity=severity, summary="It is so.", cause=made, **{"first_step": 0, **rest})


def diagnosis(*findings: Finding, health: Any = "critical") -> Diagnosis:
    return Diagnosis(health=health, outcome=None, findings=list(findings))


RULES = ("vanishing_gradient", "exploding_gradient", "non_finite", "loss_not_decreasing")
ALL_RULES: tuple[str, ...] = get_args(RuleId)
CAUSES = (None, "activation", "weights", "depth", "learning_rate", "data", "loss")
ACTIVATIONS = ("ReLU", "Sigmoid", "Tanh", "GELU", "SELU", "Softsign", "Hardshrink", "LeakyReLU", "PReLU")
DATA = {
    "digits": ({"type": "digits"}, 64, 10),
    "images": ({"type": "digits", "flatten": False}, 8, 10),
    "iris": ({"type": "iris"}, 4, 3),
    "moons": ({"type": "moons", "samples": 100}, 2, 2),
}
INITS = (
    {"weight": {"type": "xavier_normal_"}, "bias": {"type": "zeros_"}},
    {"weight": {"type": "normal_", "std": 1.0}},
    {"weight": {"type": "kaiming_uniform_", "nonlinearity": "relu"}, "bias": {"type": "zeros_"}},
    {"bias": {"type": "constant_", "val": 2.0}},
    {"weight": None, "bias": None},
    {},
)
OPTIMIZERS = (
    {"type": "SGD", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4},
    {"type": "SGD"},
    {"type": "SGD", "lr": 0},
    {"type": "Adam", "lr": 1.0},
    {"type": "RMSprop"},
)
TRAININGS = (
    None,
    {},
    {"batch_size": 4, "clip_grad_norm": None},
    {"steps": 10, "clip_grad_norm": 5.0},
    {"clip_grad_norm": 0.5},
)
widths = st.sampled_from((64, 64, 48, 8, 1))


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a valid document; its shapes may still not meet inside a Residual within a Repeat."""
    data, width, classes = DATA[draw(st.sampled_from(sorted(DATA)))]
    layers, _ = draw(_chain(width, depth=2))
    if data.get("flatten") is False:
        layers.append({"type": "Flatten"})
    tail = draw(st.lists(st.sampled_from(ACTIVATIONS), max_size=1))
    layers += [{"type": "Linear", "out_features": classes}, *({"type": name} for name in tail)]
    document: dict[str, Any] = {
        "model": {"layers": layers},
        "data": data,
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": draw(st.sampled_from(OPTIMIZERS)),
    }
    if (init := draw(st.none() | st.sampled_from(INITS))) is not None or draw(st.booleans()):
        document["model"]["init"] = init
    if (training := draw(st.sampled_from(TRAININGS))) is not None:
        document["training"] = training
    return document


@st.composite
def _chain(draw: st.DrawFn, width: int, depth: int) -> tuple[list[dict[str, Any]], int]:
    layers: list[dict[str, Any]] = []
    for index in range(draw(st.integers(1, 4))):
        layer, width = draw(_layer(width, depth))
        if draw(st.integers(0, 4)) == 0:
            layer["name"] = f"part{index}"
        layers.append(layer)
    return layers, width


@st.composite
def _layer(draw: st.DrawFn, width: int, depth: int) -> tuple[dict[str, Any], int]:
    kinds = ["Linear", "Linear", "activation", "activation", "LayerNorm", "Dropout", "block", "block"]
    kind = draw(st.sampled_from(kinds + (["Sequential", "Repeat", "Repeat", "Residual"] if depth else [])))
    if kind == "Linear":
        return draw(_linear())
    if kind == "activation":
        return {"type": draw(st.sampled_from(ACTIVATIONS))}, width
    if kind in {"LayerNorm", "Dropout"}:
        return {"type": kind}, width
    if kind == "block":
        linear, out = draw(_linear())
        return {"type": "Sequential", "layers": [linear, {"type": draw(st.sampled_from(ACTIVATIONS))}]}, out
    layers, out = draw(_chain(width, depth - 1))
    if kind == "Residual":
        back = [{"type": "Linear", "out_features": width}] if out != width else []
        shortcut = draw(st.sampled_from(("identity", [{"type": "Linear", "out_features": width}, {"type": "Tanh"}])))
        return {"type": "Residual", "layers": [*layers, *back], "shortcut": shortcut}, width
    if kind == "Repeat":
        return {"type": "Repeat", "times": draw(st.integers(1, 5)), "layers": layers}, out
    return {"type": "Sequential", "layers": layers}, out


@st.composite
def _linear(draw: st.DrawFn) -> tuple[dict[str, Any], int]:
    out = draw(widths)
    layer: dict[str, Any] = {"type": "Linear", "out_features": out}
    if draw(st.integers(0, 4)) == 0:
        layer["init"] = draw(st.sampled_from(INITS))
    return layer, out


@st.composite
def findings(draw: st.DrawFn, of: Sequence[str] = RULES) -> list[Finding]:
    """Draw findings of different rules, with causes and evidence of all sorts."""
    rules: Sequence[str] = draw(st.lists(st.sampled_from(of), min_size=1, unique=True))
    return [draw(_finding(rule)) for rule in rules]


@st.composite
def _finding(draw: st.DrawFn, rule: str) -> Finding:
    signal = draw(st.sampled_from(("update_ratio", "loss", "backward_gain", "val_loss", "time_gain", "dropout")))
    value = draw(st.sampled_from((None, 0.0, 1e-9, 1e-3, 1e20)))
    return finding(
        rule,
        draw(st.sampled_from(CAUSES)),
        detail=draw(st.sampled_from(("Sigmoid passes on 0.21 of it", "GELU passes on 0.5 of it", ""))),
        severity=draw(st.sampled_from(("info", "warning", "critical"))),
        caused_by=draw(st.none() | st.sampled_from(RULES)),
        evidence=[Evidence(signal=signal, value=value, step=draw(st.sampled_from((None, 0, 7))))],
    )
