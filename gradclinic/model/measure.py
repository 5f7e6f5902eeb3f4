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

from gradclinic.contract.feedforward import Linear
from gradclinic.contract.layers import AnyLayer
from gradclinic.contract.pooling import Pooling
from gradclinic.model.fits import INFERRED, Keywords, Misfit
from gradclinic.model.layers import MOVING, fitted_keywords, make_module, posted_keywords
from gradclinic.model.sample import Sample, Shape, shown
from gradclinic.model.steps import STEPS

TORCH_ERRORS = (RuntimeError, ValueError, IndexError, TypeError, AssertionError, ArithmeticError)
"""What PyTorch raises at sizes and keywords that it cannot use."""

MAX_QUOTE = 300

SMALLEST_BATCH = 2
"""Batch normalisation refuses a batch of one; that a training has none is checked elsewhere."""


@dataclass(frozen=True)
class Measured:
    """What one layer does on one kind of input. `flops` are those of a forward pass on one batch.

    `output` is None where it cannot be told; `parameters` are the shapes by PyTorch's names. `held` counts the numbers
    that are kept of one sample for the backward pass, `calls` the operators called one after the other.
    """

    output: Sample | None
    parameters: tuple[tuple[str, Shape], ...] = ()
    flops: int = 0
    held: int = 0
    calls: int = 1
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
    measure_layer(Linear(type="Linear", out_features=1), Sample((1,)), SMALLEST_BATCH)


def measure_layer(layer: AnyLayer, sample: Sample, batch: int) -> Measured:
    """Try `layer` on a batch of samples. Never raises: what does not work is the `misfit`."""
    keywords = fitted_keywords(layer, sample)
    if isinstance(keywords, Misfit):
        # Our words say what to change; PyTorch's follow, for whoever knows them or looks them up.
        quote = _words_of(lambda: _run(layer, posted_keywords(layer), sample, SMALLEST_BATCH))
        detail = f'{keywords.detail}. PyTorch says: "{quote}"' if quote else keywords.detail
        misfit = Misfit(keywords.key, detail, keywords.expected)
        return Measured(_mended_output(layer, keywords, sample, batch), misfit=misfit)
    tried = max(batch, SMALLEST_BATCH)
    try:
        if layer.type in STEPS:
            return _count_steps(layer, keywords, sample, batch)
        output, parameters, flops = _run(layer, keywords, sample, tried)
    except TORCH_ERRORS as error:
        detail = f'it cannot take the input {shown(sample.shape)}. PyTorch says: "{words(error)}"'
        return Measured(None, misfit=Misfit("", detail, "keywords that fit the input"))
    if output.shape[:1] != (tried,):
        detail = f"it does not keep the batch apart: {shown(sample.shape)} becomes {list(output.shape)} on a batch of {tried}"
        return Measured(None, misfit=Misfit("", detail, "a layer that works on each sample by itself"))
    shape = output.shape[1:]
    return Measured(Sample(shape, output.integers), parameters, flops * batch // tried, math.prod(shape))


def _mended_output(layer: AnyLayer, misfit: Misfit, sample: Sample, batch: int) -> Sample | None:
    """Return what comes out once the misfit is mended, so that the layers behind it can be looked at, too."""
    if misfit.key in INFERRED and getattr(layer, misfit.key) is not None and misfit.output is None:
        return measure_layer(layer.model_copy(update={misfit.key: None}), sample, batch).output
    return None if misfit.output is None else Sample(misfit.output, sample.integers and layer.type in MOVING)


def _count_steps(layer: AnyLayer, keywords: Keywords, sample: Sample, batch: int) -> Measured:
    """Measure a layer by its formula; only its parameters are made."""
    steps = STEPS[layer.type](layer, sample.shape)
    with torch.device("meta"):
        parameters = _parameter_shapes(make_module(layer, keywords))
    return Measured(Sample(steps.output), parameters, batch * steps.flops, steps.held, steps.calls)


def _run(
    layer: AnyLayer, keywords: Keywords, sample: Sample, batch: int
) -> tuple[Sample, tuple[tuple[str, Shape], ...], int]:
    """Run the layer; return its output with the batch.

    Where PyTorch has no formula, one FLOP counts for each number that an element of the output is made of.
    """
    with torch.device("meta"), torch.no_grad():
        module = make_module(layer, keywords)
        inputs = torch.empty((batch, *sample.shape), dtype=torch.int64 if sample.integers else torch.float32)
        with _FlopCount() as count:
            output: Tensor = module(inputs)
    flops = count.flops or math.prod(output.shape) * _window(layer, sample.shape, tuple(output.shape[1:]))
    return Sample(tuple(output.shape), not output.is_floating_point()), _parameter_shapes(module), flops


def _window(layer: AnyLayer, given: Shape, output: Shape) -> int:
    """Return how many numbers each element of the output is made of: a pooling looks at a window of them."""
    if not isinstance(layer, Pooling):
        return 1
    dimensions = int(layer.type[-2])
    size = getattr(layer, "kernel_size", None)
    if size is None:  # an adaptive one, whose windows cover the input
        pairs = zip(given[-dimensions:], output[-dimensions:], strict=True)
        return math.prod(math.ceil(before / after) for before, after in pairs)
    return int(size**dimensions if isinstance(size, int) else math.prod(size))


def _parameter_shapes(module: nn.Module) -> tuple[tuple[str, Shape], ...]:
    return tuple((name, tuple(parameter.shape)) for name, parameter in module.named_parameters())


def _words_of(attempt: Callable[[], object]) -> str | None:
    """Return what PyTorch says to an attempt that should fail; None if it says nothing of use."""
    try:
        attempt()
    except Warning as warning:  # where warnings are errors
        return words(warning)
    except TypeError:  # a size that was to be inferred is missing
        return None
    except TORCH_ERRORS as error:
        return words(error)
    return None


def words(error: BaseException) -> str:
    """Return the first line of an error, cut where it is long, without its own full stop."""
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return f"{line[:MAX_QUOTE]}..." if len(line) > MAX_QUOTE else line.rstrip(".")
