r"""Sharpness: the largest eigenvalue of the Hessian of a loss, by power iteration on Hessian-vector products.

The Hessian :math:`H` is never formed. The gradient is taken once, with its own graph, and each product is the gradient of
:math:`g \cdot v` (Pearlmutter 1994), so that dropout drops the same numbers in each. Power iteration finds the eigenvalue
that is largest in size; where that one is negative, a second one on :math:`H - \lambda I`, whose eigenvalues are all at least 0, finds the largest.

Source: LeCun, Simard & Pearlmutter 1993, Automatic learning rate maximization; Cohen et al. 2021, arXiv 2103.00065, on what it
is to be compared with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from gradclinic.contract.preflight import MOST_PRODUCTS
from gradclinic.training.raised import torch_may_raise

TOLERANCE = 0.01
"""Relative change of the estimate from one product to the next at which a search ends: what it is compared with is a factor."""

Vector = list[Tensor]
Product = Callable[[Vector], Vector]


def largest_eigenvalue(  # noqa: PLR0913 - each is a choice of its own
    make_loss: Callable[[], Tensor],
    parameters: Sequence[Tensor],
    generator: torch.Generator,
    *,
    tolerance: float = TOLERANCE,
    most_products: int = MOST_PRODUCTS,
    between: Callable[[], None] = lambda: None,
) -> float:
    """Return the largest eigenvalue of the Hessian of a loss with respect to parameters, from below.

    Args:
        make_loss: Computes the loss, a scalar. Called once.
        parameters: Those that are trained, all on one device.
        generator: Draws the first vector, on the CPU.
        tolerance: Relative change of the estimate at which a search ends.
        most_products: Products after which a search ends in any case; there are at most two searches.
        between: Called between products; what it raises ends the search.

    Returns:
        The eigenvalue; NaN where a product is not finite.

    Raises:
        RaisedByTorch: The loss cannot be computed, or not be differentiated twice.
    """
    with torch_may_raise(), sdpa_kernel(SDPBackend.MATH):  # the fused attentions cannot be differentiated twice
        gradients = torch.autograd.grad(make_loss(), parameters, create_graph=True, materialize_grads=True)
    # The gradient of an absolute error may not depend on a parameter at all: there, the Hessian is 0.
    curved = [gradient for gradient in gradients if gradient.requires_grad]
    if not curved:
        return 0.0

    def multiply(vector: Vector) -> Vector:
        between()
        kept = [v for gradient, v in zip(gradients, vector, strict=True) if gradient.requires_grad]
        with torch_may_raise():
            return list(torch.autograd.grad(curved, parameters, kept, retain_graph=True, materialize_grads=True))

    start = [_drawn(parameter, generator) for parameter in parameters]
    in_size = _iterate(multiply, start, tolerance, most_products)
    if not in_size < 0:
        return in_size

    def shifted(vector: Vector) -> Vector:
        return [product - in_size * v for product, v in zip(multiply(vector), vector, strict=True)]

    return _iterate(shifted, start, tolerance, most_products) + in_size


def _iterate(multiply: Product, vector: Vector, tolerance: float, most: int) -> float:
    """Return the Rayleigh quotient of the vector that repeated products turn towards the largest eigenvalue in size."""
    vector, estimate = _scaled(vector, 1 / _norm(vector)), math.nan
    for _ in range(most):
        product = multiply(vector)
        size, before = _norm(product), estimate
        estimate = sum(float((v.double() * p.double()).sum()) for v, p in zip(vector, product, strict=True))
        if not math.isfinite(size) or size == 0 or abs(estimate - before) <= tolerance * abs(estimate):
            return estimate if math.isfinite(size) else math.nan
        vector = _scaled(product, 1 / size)
    return estimate


def _drawn(parameter: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype).to(parameter.device)


def _norm(vector: Vector) -> float:
    return math.hypot(*(float(torch.linalg.vector_norm(part, dtype=torch.float64)) for part in vector))


def _scaled(vector: Vector, factor: float) -> Vector:
    return [part.detach() * factor for part in vector]
