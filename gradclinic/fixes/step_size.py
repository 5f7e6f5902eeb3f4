"""The learning rate that a chain of layers bears once its gradient is no longer damped."""

from __future__ import annotations

from gradclinic.contract.optimizer import SGD
from gradclinic.fixes.patch import Operation, set_value
from gradclinic.fixes.posted import ACTIVATIONS, Posted

TOO_LONG = 1.0
"""Learning rate times layers beyond which the chain no longer learns well.

Measured on digits with 64 units a layer, three seeds, SGD: 19 layers of ReLU with He initialization reached an accuracy
of 0.53 to 0.62 at 0.1 and 0.91 to 0.93 at 0.02; 12 layers 0.95 to 0.98 at 0.1. SELU diverged in 12 layers at 0.1 on one
seed of two, and reached 0.95 to 0.99 in 12 and in 19 layers at 0.02.
"""

CURVATURE = {"MSELoss": 8.0, "HuberLoss": 4.0, "SmoothL1Loss": 4.0}
"""How much steeper a loss can curve than the cross entropy of two classes, whose second derivative is a quarter at most.

The rate that descent bears is inverse to the curvature (LeCun et al. 1998). Measured on diabetes, seven layers of 32 under MSELoss,
two seeds: SELU diverged at 0.1, and reached an r2 of 0.38 to 0.47 at 0.0018 and at 0.0054; ReLU 0.38 to 0.42 at 0.0035, 0.0105 and 0.1.
"""

CALM = 0.4
"""Learning rate times layers that trained well in all of these."""

WHY_SHORTER_STEPS = " A gradient that arrives undamped needs shorter steps in a model this deep."


def calm_steps(posted: Posted) -> list[Operation]:
    """Return the operations that lower SGD's learning rate to what the depth bears; none where it is low enough.

    Adaptive optimizers need none: the size of their steps does not follow from that of the gradient.
    """
    optimizer = posted.spec.optimizer
    depth = sum(place.turns for place in posted.hidden(ACTIVATIONS))
    if not isinstance(optimizer, SGD) or not depth or optimizer.momentum >= 1:
        return []
    # Momentum sums the steps of one direction to 1 / (1 - momentum) of them.
    room = (1 - optimizer.momentum) / CURVATURE.get(posted.spec.loss.type, 1.0) / depth
    if optimizer.lr <= TOO_LONG * room:
        return []
    return set_value(posted.document, ("optimizer", "lr"), float(f"{CALM * room:.1g}"))


def and_shorter_steps(calm: list[Operation]) -> str:
    """Return how the operations of `calm_steps` end the title of a fix."""
    return f" and a learning rate of {calm[-1]['value']:g}" if calm else ""
