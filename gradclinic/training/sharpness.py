r"""Sharpness: the largest eigenvalue of the Hessian of a loss, from products of the Hessian with vectors.

The Hessian :math:`H` is never formed. The gradient is taken once, with its own graph, and each product is the gradient of
:math:`g \cdot v` (Pearlmutter 1994), so that dropout drops the same numbers in each. Plain power iteration finds the eigenvalue
that is largest in size, which in a network may be a negative one, and hardly moves where others are near. The products are the same
here, but what the earlier ones told is kept (Lanczos 1950): on the space that they span :math:`H` is a tridiagonal matrix, whose
largest eigenvalue comes near that of :math:`H` from below, whatever the negative ones are. Two vectors are held, not the space:
without it the matrix finds eigenvalues several times over, which does not change the largest (Paige 1980).

Source: LeCun, Simard & Pearlmutter 1993, Automatic learning rate maximization; Cohen et al. 2021, arXiv 2103.00065, on what it
is to be compared with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from gradclinic.contract.preflight import MOST_PRODUCTS
from gradclinic.training.raised import torch_may_raise

TOLERANCE = 0.05
"""Bound of the error relative to the eigenvalue at which the search ends: what it is compared with is a factor of several."""

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
        tolerance: Bound of the error relative to the eigenvalue at which the search ends.
        most_products: Products after which it ends in any case.
        between: Called before each product; what it raises ends the search.

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

    start = [torch.randn(p.shape, generator=generator, dtype=p.dtype).to(p.device) for p in parameters]
    return _search(multiply, start, tolerance, most_products)


def _search(multiply: Product, start: Vector, tolerance: float, most: int) -> float:
    r"""Return the largest eigenvalue of the tridiagonal matrix with :math:`\alpha` on its diagonal and :math:`\beta` beside it.

    With :math:`s` the last element of its eigenvector, an eigenvalue of :math:`H` lies within :math:`\beta_k |s|` of it.
    """
    vector, previous = _scaled(start, 1 / _norm(start)), [torch.zeros_like(part) for part in start]
    diagonal: list[float] = []
    beside: list[float] = []
    largest = math.nan
    for _ in range(most):
        product = multiply(vector)
        diagonal.append(_dot(vector, product))
        if not math.isfinite(diagonal[-1]):
            return math.nan
        back = beside[-1] if beside else 0.0
        rest = [p - diagonal[-1] * v - back * u for p, v, u in zip(product, vector, previous, strict=True)]
        beside.append(_norm(rest))
        if not math.isfinite(beside[-1]):
            return math.nan
        values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1))
        largest, error = float(values[-1]), beside[-1] * abs(float(vectors[-1, -1]))
        if error <= tolerance * abs(largest) or beside[-1] == 0:
            break
        previous, vector = vector, _scaled(rest, 1 / beside[-1])
    return largest


def _dot(one: Vector, other: Vector) -> float:
    return sum(float((a.double() * b.double()).sum()) for a, b in zip(one, other, strict=True))


def _norm(vector: Vector) -> float:
    return math.hypot(*(float(torch.linalg.vector_norm(part, dtype=torch.float64)) for part in vector))


def _scaled(vector: Vector, factor: float) -> Vector:
    return [part.detach() * factor for part in vector]
