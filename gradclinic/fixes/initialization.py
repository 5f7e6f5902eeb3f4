"""Draw the weights at the scale that keeps the signal through the activation in use.

When it applies:
    A gradient that vanishes or explodes with depth, values that are not finite, or a loss that does not fall, in a
    model whose weights start at another scale than its activation asks for.

What it changes:
    The model's `init`: He for ReLU and its family, LeCun for SELU, Xavier for the rest; biases start at 0. A layer's own
    `init` of another scale is removed, so that the model's counts for it. Where a gradient vanished in a deep model under SGD,
    the learning rate is lowered to what it bears once it no longer does.

When it is known not to help:
    In a deep chain of Sigmoid, whose slope of at most a quarter no initialization makes up for. When the learning rate
    is what blows up the weights.

Source:
    - Glorot & Bengio 2010, Understanding the difficulty of training deep feedforward neural networks
    - He et al. 2015, Delving deep into rectifiers, arXiv:1502.01852
    - Klambauer et al. 2017, Self-normalizing neural networks, arXiv:1706.02515
"""

from __future__ import annotations

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.initial_scale import fits, fitting_scheme, initialize, misfits
from gradclinic.fixes.posted import ACTIVATIONS, WEIGHTED, Posted
from gradclinic.fixes.step_size import WHY_SHORTER_STEPS, and_shorter_steps, calm_steps

KIND: FixKind = "initialization"
ADDRESSES: tuple[RuleId, ...] = ("vanishing_gradient", "exploding_gradient", "non_finite", "loss_not_decreasing")

QUARTER_SLOPE = frozenset({"Sigmoid", "Hardsigmoid"})
"""Their slope never exceeds a quarter, and so no weights of a sane scale make up for them."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose the initialization that fits the activation in use, where another is posted."""
    cause = finding.cause.what if finding.cause else None
    if cause in {"learning_rate", "data", "loss"} or not _has_layers_with_weights(posted):
        return []
    vanishes = finding.rule == "vanishing_gradient"
    if vanishes and cause != "weights" and _has_quarter_slope(posted):
        return []
    scheme = fitting_scheme(posted)
    # PyTorch's default is smaller than any scheme: it can make a gradient vanish, never explode.
    default_fits = not vanishes
    model_fits = fits(posted.spec.model.init, scheme, default_fits=default_fits)
    if model_fits and not misfits(posted, scheme, default_fits=default_fits):
        return []
    calm = calm_steps(posted) if vanishes else []
    why = (
        f"The weights start at another scale than the activations ask for, and each layer multiplies the gradient by "
        f"the difference; {scheme.title} keeps its scale from layer to layer."
    )
    return [
        Candidate(
            f"initialization-{scheme.slug}",
            f"Use {scheme.title}, with zero biases{and_shorter_steps(calm)}",
            initialize(posted, scheme, default_fits=default_fits) + calm,
            why + (WHY_SHORTER_STEPS if calm else ""),
        )
    ]


def _has_layers_with_weights(posted: Posted) -> bool:
    return any(isinstance(place.layer, WEIGHTED) for place in posted.places.values())


def _has_quarter_slope(posted: Posted) -> bool:
    return any(place.layer.type in QUARTER_SLOPE for place in posted.hidden(ACTIVATIONS))
