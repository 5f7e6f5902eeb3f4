"""One layer on one shape of input, tried on PyTorch's `meta` device: its output, its parameters, its FLOPs.

Nothing is allocated or drawn, and no second shape calculator has to be kept. Safe in threads: both modes that are
entered here belong to the thread.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gradclinic.contract.layers import AnyLayer, Linear
from gradclinic.model.layers import Keywords, Misfit, Shape, fitted_keywords, make_module, posted_keywords, shown

TORCH_ERRORS = (RuntimeError, ValueError, IndexError, TypeError, AssertionError, ArithmeticError)
"""What PyTorch raises at sizes and keywords that it cannot use."""

MAX_QUOTE = 300

SMALLEST_BATCH = 2
"""Batch normalisation refuses a batch of one; that a training has none is checked elsewhere."""


@dataclass(frozen=True)
class Measured:
    """What one layer does on one shape of input. `flops` are those of a forward pass on one batch.

    `output` is None where it cannot be told; `parameters` are the shapes by PyTorch's names.
    """

    output: Shape | None
    parameters: tuple[tuple[str, Shape], ...] = ()
    flops: int = 0
    misfit: Misfit | None = None


class _FlopCount(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch left it without types
    """Counts the FLOPs of the operators that PyTorch has a formula for (products and convolutions).

    `torch.utils.flop_counter.FlopCounterMode` does that too, but through hooks that are global to the process, which
    would fire in the trainings and requests of other threads.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        keywords = kwargs or {}
        output = func(*args, **keywords)
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **keywords, out_val=output)
        return output


@functools.cache
def warm_up() -> None:
    """Have PyTorch load what `meta` needs: a second or more, once a process, which otherwise the first spec waits for."""
    measure_layer(Linear(type="Linear", out_features=1), (1,), SMALLEST_BATCH)


def measure_layer(layer: AnyLayer, shape: Shape, batch: int) -> Measured:
    """Try `layer` on a batch of samples of `shape`. Never raises: what does not work is the `misfit`."""
    keywords = fitted_keywords(layer, shape)
    if isinstance(keywords, Misfit):
        # Our words say what to change; PyTorch's follow, for whoever knows them or looks them up.
        quote = _words_of(lambda: _run(layer, posted_keywords(layer), shape, SMALLEST_BATCH))
        detail = f'{keywords.detail}. PyTorch says: "{quote}"' if quote else keywords.detail
        return Measured(keywords.output, misfit=Misfit(keywords.key, detail, keywords.expected, keywords.output))
    tried = max(batch, SMALLEST_BATCH)
    try:
        output, parameters, flops = _run(layer, keywords, shape, tried)
    except TORCH_ERRORS as error:
        detail = f'it cannot take the input {shown(shape)}. PyTorch says: "{_words(error)}"'
        return Measured(None, misfit=Misfit("", detail, "keywords that fit the input", None))
    if output[:1] != (tried,):
        detail = f"it does not keep the batch apart: {shown(shape)} becomes {list(output)} on a batch of {tried}"
        return Measured(None, misfit=Misfit("", detail, "a layer that works on each sample by itself", None))
    return Measured(output[1:], parameters, flops * batch // tried)


def _run(
    layer: AnyLayer, keywords: Keywords, shape: Shape, batch: int
) -> tuple[Shape, tuple[tuple[str, Shape], ...], int]:
    """Run the layer and count one FLOP for each element of its output where PyTorch has no formula."""
    with torch.device("meta"), torch.no_grad():
        module = make_module(layer, keywords)
        sample = torch.empty((batch, *shape))
        with _FlopCount() as count:
            output: Tensor = module(sample)
    return tuple(output.shape), _parameter_shapes(module), count.flops or math.prod(output.shape)


def _parameter_shapes(module: nn.Module) -> tuple[tuple[str, Shape], ...]:
    return tuple((name, tuple(parameter.shape)) for name, parameter in module.named_parameters())


def _words_of(attempt: Callable[[], object]) -> str | None:
    """Return what PyTorch says to an attempt that should fail; None if it says nothing."""
    try:
        attempt()
    except TORCH_ERRORS as error:
        return _words(error)
    return None


def _words(error: BaseException) -> str:
    """Return the first line of an error, cut where it is long, without its own full stop."""
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return f"{line[:MAX_QUOTE]}..." if len(line) > MAX_QUOTE else line.rstrip(".")
