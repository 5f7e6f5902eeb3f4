"""Statistics of a layer's output by torch's own operators: right on every device and for every type of element.

Nothing here waits for the device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gradclinic.recorder.activations import Interval
from gradclinic.recorder.norms import l2_norm


def moments(output: Tensor) -> Tensor:
    """Return (mean, sum of squared distances from it) of all elements, float64, on the output's device."""
    elements = output.detach().double()
    mean = elements.mean()
    return torch.stack([mean, (elements - mean).square_().sum()])


def saturated_count(output: Tensor, low: float, high: float) -> Tensor:
    """Count the elements at or below `low`, and at or above `high`, as a float64 scalar."""
    return ((output <= low) | (output >= high)).sum().double()


def units_on(blocks: Tensor, off: Interval) -> Tensor:
    """Return which units have an element that is not `off`, NaN included: of (outer, units, inner) a (units,) uint8."""
    on = ~((blocks >= off.low) & (blocks <= off.high))
    return on.any(dim=2).any(dim=0).to(torch.uint8)


def gradient_norm(gradient: Tensor) -> Tensor:
    """Return the L2 norm of all elements, a complex one having two parts, as a float64 scalar."""
    return l2_norm(torch.view_as_real(gradient) if gradient.is_complex() else gradient)
