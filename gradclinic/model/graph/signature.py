"""Whether the arguments of a node are what the operator's schema asks for.

PyTorch's own reading of arguments is more generous, and where a schema asks for a type of numbers it takes any integer as one:
`softmax(x, 0, 100)` ends the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor


class Unsuitable(ValueError):
    """Arguments that an operator is not called with."""


def check_signature(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Refuse arguments that are not of the types of the schema.

    Raises:
        Unsuitable: Saying which.
    """
    asked = function._schema.arguments  # noqa: SLF001 - it has no public name
    positional = [one for one in asked if not one.kwarg_only]
    if len(args) > len(positional):
        raise Unsuitable(f"{len(args)} arguments, where {len(positional)} are expected")
    given = {one.name: value for one, value in zip(positional, args, strict=False)}
    if twice := given.keys() & kwargs.keys():
        raise Unsuitable(f"{twice.pop()} twice")
    given |= kwargs
    for one in asked:
        if one.name in given:
            value = given.pop(one.name)
            if not _is_of(str(one.real_type), value):
                raise Unsuitable(f"{_told(value)} as {one.name}, where {one.real_type} is expected")
        elif not one.has_default_value():
            raise Unsuitable(f"no {one.name}")
    if given:
        raise Unsuitable(f"{next(iter(given))!r}, which it does not know")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float, bool)


_KINDS: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "Tensor": lambda value: isinstance(value, Tensor) or _is_number(value),  # x * 0.5
        "int": lambda value: type(value) is int,
        "SymInt": lambda value: type(value) is int,
        "float": lambda value: type(value) in (int, float),
        "number": _is_number,
        "bool": lambda value: type(value) is bool,
        "str": lambda value: type(value) is str,
        "Device": lambda value: isinstance(value, torch.device),
        "ScalarType": lambda value: isinstance(value, torch.dtype),
        "MemoryFormat": lambda value: isinstance(value, torch.memory_format),
    }
)
"""The types of a schema, as they call themselves, but for lists and what may be left out. No other is given."""


def _is_of(kind: str, value: Any) -> bool:
    if kind.startswith("Optional["):
        return value is None or _is_of(kind[len("Optional[") : -1], value)
    if kind.startswith("List["):
        inner = kind[len("List[") : -1]
        # One number stands for a list of it: kernel_size 3.
        return (isinstance(value, list) and all(_is_of(inner, one) for one in value)) or (
            inner in ("int", "SymInt", "float") and _is_of(inner, value)
        )
    return kind in _KINDS and _KINDS[kind](value)


def _told(value: Any) -> str:
    return f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else repr(value)[:60]
