"""The functions of `torch.nn.init`: whether one can set a given weight, and setting it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from gradclinic.contract.base import SpecModel
from gradclinic.contract.initialization import Init
from gradclinic.model.sample import Shape

MATRIX = 2
"""A weight has two dimensions or more; what has one, such as the scale of a normalisation, keeps PyTorch's start."""

CONVOLUTION = (3, 4, 5)

DRAWING = frozenset(
    {
        "uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_",
        "kaiming_normal_", "orthogonal_", "sparse_",
    }
)  # fmt: skip
"""The functions that draw random numbers, and so take a generator."""

TRIED = DRAWING - {"sparse_"} | {"constant_"}
"""The functions that some numbers are impossible for, which a trial shows; `sparse_` knows none, and draws from the
global generator in spite of the one that it is given.
"""

TRIAL_SIZE = 4
"""Elements along each dimension of the small tensor that a function is tried on."""


def initialize(module: nn.Module, init: Init | None) -> None:
    """Set the weights (two dimensions or more) and the biases of one layer; draws from torch's global generator."""
    if init is None:
        return
    for name, parameter in module.named_parameters():
        function = function_for(init, name, tuple(parameter.shape))[1]
        if function is not None:
            _apply(function, parameter)


def function_for(init: Init, name: str, shape: Shape) -> tuple[str, SpecModel | None]:
    """Return which part of `init` a parameter belongs to (empty for neither), and the function there."""
    # PyTorch's names of biases: bias, in_proj_bias, bias_ih_l0.
    if "bias" in name.rpartition(".")[2]:
        return "bias", init.bias
    return ("weight", init.weight) if len(shape) >= MATRIX else ("", None)


def init_problems(init: Init | None, parameters: Iterable[tuple[str, Shape]]) -> dict[str, tuple[str, str]]:
    """Say which part of `init` (`weight`, `bias`) cannot set these parameters: why, and what could."""
    problems: dict[str, tuple[str, str]] = {}
    if init is None:
        return problems
    for name, shape in parameters:
        part, function = function_for(init, name, shape)
        if function is not None and part not in problems and (problem := _problem(function, name, shape)):
            problems[part] = problem
    return problems


def _problem(function: SpecModel, name: str, shape: Shape) -> tuple[str, str] | None:
    kind: str = function.type  # type: ignore[attr-defined]  # every function of the contract has its type
    check = _CHECKS.get(kind)
    if check is not None and (problem := check(function, name, shape)):
        return problem
    if kind in TRIED and (words := _trial(function, shape)) is not None:
        return f'{kind} cannot set {name} with these keywords. PyTorch says: "{words}"', "numbers that float32 can hold"
    return None


def _trial(function: SpecModel, shape: Shape) -> str | None:
    """Try the function on a small tensor of as many dimensions: it shows what the numbers alone make impossible."""
    small = torch.empty([min(size, TRIAL_SIZE) for size in shape])
    try:
        _apply(function, small, torch.Generator())
    except (RuntimeError, ValueError, ArithmeticError) as error:
        return str(error).partition("\n")[0][:300]
    return None


def _apply(function: SpecModel, tensor: Tensor, generator: torch.Generator | None = None) -> None:
    keywords: dict[str, Any] = function.model_dump()
    kind = keywords.pop("type")
    if kind in DRAWING:
        keywords["generator"] = generator
    getattr(nn.init, kind)(tensor, **keywords)


def _matrix_alone(function: Any, name: str, shape: Shape) -> tuple[str, str] | None:
    if len(shape) == MATRIX:
        return None
    return f"{function.type} sets weights of two dimensions alone, and {name} is {list(shape)}", "another function"


def _convolution_alone(function: Any, name: str, shape: Shape) -> tuple[str, str] | None:
    if len(shape) not in CONVOLUTION:
        return (
            f"{function.type} sets the weights of convolutions alone, and {name} is {list(shape)}",
            "another function",
        )
    if shape[0] % function.groups:
        return f"{function.groups} groups do not divide the {shape[0]} outputs of {name}", f"a divisor of {shape[0]}"
    return None


_CHECKS: Mapping[str, Callable[[Any, str, Shape], tuple[str, str] | None]] = MappingProxyType(
    {"eye_": _matrix_alone, "sparse_": _matrix_alone, "dirac_": _convolution_alone}
)
"""What each function asks of a weight's dimensions; those that are missing take any."""
