"""Trainings that each have one kind of fault, as posted specs, on which every remedy is tried.

That each has its fault on every seed is not assumed: the run says what the diagnosis found in the unchanged spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gradclinic.contract.diagnosis import RuleId

Document = dict[str, Any]
Kind = Literal["vanishing", "exploding", "dead units", "saturation", "rate too high", "rate too low"]

RULES: Mapping[Kind, RuleId] = {
    "vanishing": "vanishing_gradient",
    "exploding": "exploding_gradient",
    "dead units": "dead_units",
    "saturation": "saturated_activations",
    "rate too high": "learning_rate_too_high",
    "rate too low": "learning_rate_too_low",
}
"""Each kind of fault, and the rule that has to find it in the unchanged spec."""

STEPS = 300


@dataclass(frozen=True)
class Fault:
    """A spec that trains badly, and why."""

    id: str
    kind: Kind
    about: str
    document: Document

    @property
    def rule(self) -> RuleId:
        """The rule that finds it."""
        return RULES[self.kind]


def _initialized(weight: Document, bias: float = 0.0) -> Document:
    return {"weight": weight, "bias": {"type": "constant_", "val": bias} if bias else {"type": "zeros_"}}


def _spread(std: float) -> Document:
    return _initialized({"type": "normal_", "mean": 0.0, "std": std})


XAVIER = _initialized({"type": "xavier_normal_"})
HE = _initialized({"type": "kaiming_normal_", "nonlinearity": "relu"})


def _network(width: int, depth: int, activation: str, outputs: int, hidden: Document | None) -> Document:
    """Return a model of `depth` hidden layers, all of one width; `hidden` initializes them, He's way the last layer."""
    first = {"type": "Linear", "out_features": width} | ({"init": hidden} if hidden else {})
    block = [first, {"type": activation}]
    last: Document = {"type": "Linear", "out_features": outputs} | ({"init": XAVIER} if hidden else {})
    return {"layers": [*block, {"type": "Repeat", "times": depth - 1, "layers": block}, last]}


def _recurrent(nonlinearity: str, gain: float) -> Document:
    """Return an RNN that reads the eight rows of a digit, with recurrent weights that turn and stretch by `gain`."""
    rnn = {"type": "RNN", "hidden_size": 48, "nonlinearity": nonlinearity, "output": "last"}
    init = _initialized({"type": "orthogonal_", "gain": gain})
    rows = {"type": "Flatten", "start_dim": 1, "end_dim": 2}
    return {"layers": [rows, rnn | {"init": init}, {"type": "Linear", "out_features": 10, "init": XAVIER}]}


def _training(model: Document, data: Document, optimizer: Document) -> Document:
    regression = data["type"] in {"linear_regression", "diabetes"}
    return {
        "model": model,
        "data": data,
        "loss": {"type": "MSELoss" if regression else "CrossEntropyLoss"},
        "optimizer": optimizer,
        "training": {"steps": STEPS, "batch_size": 64, "metrics": ["r2" if regression else "accuracy"]},
        "verification": {"fixes": 0},
    }


def _sgd(lr: float) -> Document:
    return {"type": "SGD", "lr": lr}


DIGITS: Document = {"type": "digits"}
ROWS: Document = {"type": "digits", "flatten": False}
MOONS: Document = {"type": "moons", "samples": 800, "noise": 0.1}
LINE: Document = {"type": "linear_regression", "samples": 800, "features": 8, "noise": 0.05}

FAULTS: tuple[Fault, ...] = (
    Fault(
        "sigmoid, 5 layers",
        "vanishing",
        "Five sigmoid layers, the articles' own example, on digits.",
        _training(_network(48, 5, "Sigmoid", 10, XAVIER), DIGITS, _sgd(0.1)),
    ),
    Fault(
        "sigmoid, 14 layers",
        "vanishing",
        "Fourteen sigmoid layers on digits.",
        _training(_network(48, 14, "Sigmoid", 10, XAVIER), DIGITS, _sgd(0.1)),
    ),
    Fault(
        "ReLU, small weights",
        "vanishing",
        "Nine ReLU layers on digits, whose weights start at a fifth of He's.",
        _training(_network(48, 9, "ReLU", 10, _spread(0.04)), DIGITS, _sgd(0.1)),
    ),
    Fault(
        "sigmoid, regression",
        "vanishing",
        "Eight sigmoid layers on a linear regression.",
        _training(_network(32, 8, "Sigmoid", 1, XAVIER), LINE, _sgd(0.05)),
    ),
    Fault(
        "ReLU, N(0, 1) weights",
        "exploding",
        "Eight ReLU layers on digits, weights of deviation 1.",
        _training(_network(48, 8, "ReLU", 10, _spread(1.0)), DIGITS, _sgd(0.01)),
    ),
    Fault(
        "ReLU, regression",
        "exploding",
        "Six ReLU layers on a linear regression, weights of deviation 1.",
        _training(_network(32, 6, "ReLU", 1, _spread(1.0)), LINE, _sgd(0.01)),
    ),
    Fault(
        "RNN on rows",
        "exploding",
        "An RNN with ReLU over the rows of digits, recurrent weights that stretch sixfold a step.",
        _training(_recurrent("relu", 6.0), ROWS, _sgd(0.05)),
    ),
    Fault(
        "biases of -15",
        "dead units",
        "Three ReLU layers on digits, whose biases start at -15.",
        _training(_network(48, 3, "ReLU", 10, _initialized(HE["weight"], -15.0)), DIGITS, _sgd(0.05)),
    ),
    Fault(
        "killed by the rate",
        "dead units",
        "Three ReLU layers on digits, at a rate whose first steps throw the biases far below zero.",
        _training(_network(64, 3, "ReLU", 10, HE), DIGITS, _sgd(4.0)),
    ),
    Fault(
        "tanh, N(0, 1) weights",
        "saturation",
        "Six tanh layers on digits, weights of deviation 1.",
        _training(_network(64, 6, "Tanh", 10, _spread(1.0)), DIGITS, _sgd(0.05)),
    ),
    Fault(
        "sigmoid, wide weights",
        "saturation",
        "Three sigmoid layers on digits, weights of deviation 3.",
        _training(_network(64, 3, "Sigmoid", 10, _spread(3.0)), DIGITS, _sgd(0.05)),
    ),
    Fault(
        "SGD at 12",
        "rate too high",
        "Two tanh layers on digits, SGD at 12.",
        _training(_network(64, 2, "Tanh", 10, XAVIER), DIGITS, _sgd(12.0)),
    ),
    Fault(
        "Adam at 0.5",
        "rate too high",
        "Two ReLU layers on a linear regression, Adam at 0.5.",
        _training(_network(48, 2, "ReLU", 1, HE), LINE, {"type": "Adam", "lr": 0.5}),
    ),
    Fault(
        "SGD at 2e-5",
        "rate too low",
        "Two ReLU layers on digits, SGD at 0.00002.",
        _training(_network(64, 2, "ReLU", 10, HE), DIGITS, _sgd(2e-5)),
    ),
    Fault(
        "Adam at 2e-6",
        "rate too low",
        "Two ReLU layers on a linear regression, Adam at 0.000002.",
        _training(_network(48, 2, "ReLU", 1, HE), LINE, {"type": "Adam", "lr": 2e-6}),
    ),
)
