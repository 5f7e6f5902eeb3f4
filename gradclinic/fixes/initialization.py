"""Draw the weights at the scale that keeps the signal through the activation in use.

When it applies:
    A gradient that vanishes or explodes with depth or through time, units that are dead, saturated or copies of each other
    from the start, values that are not finite, or a loss that does not fall, in a model whose weights start at another
    scale than its layers ask for.

What it changes:
    The model's `init`: He for ReLU and its family, LeCun for SELU, Xavier for the rest; biases start at 0. A layer's own
    `init` of another scale is removed, so that the model's counts for it. Recurrent layers start with orthogonal weights,
    attention and embeddings as PyTorch starts them. Where a gradient vanished in a deep model under SGD, the learning rate is
    lowered to what it bears once it no longer does.

What it costs:
    Nothing: neither time nor parameters.

When it is known not to help:
    In a deep chain of Sigmoid, whose slope of at most a quarter no initialization makes up for. When the learning rate
    is what blows up the weights, or kills the units.

Source:
    - Glorot & Bengio 2010, Understanding the difficulty of training deep feedforward neural networks
    - He et al. 2015, Delving deep into rectifiers, arXiv:1502.01852
    - Klambauer et al. 2017, Self-normalizing neural networks, arXiv:1706.02515
    - Saxe, McClelland & Ganguli 2014, Exact solutions to the nonlinear dynamics of learning, arXiv:1312.6120
"""

from __future__ import annotations

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.contract.spec import GraphModel
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.evidence import is_through_time
from gradclinic.fixes.initial_scale import HE, LECUN, XAVIER, fits, fitting_scheme, initialize, misfits, orthogonal
from gradclinic.fixes.posted import ACTIVATIONS, WEIGHTED, Posted
from gradclinic.fixes.step_size import WHY_SHORTER_STEPS, and_shorter_steps, calm_steps

KIND: FixKind = "initialization"
ADDRESSES: tuple[RuleId, ...] = (
    "vanishing_gradient", "exploding_gradient", "non_finite", "loss_not_decreasing", "poor_initialization", "dead_units",
    "saturated_activations", "zero_gradient", "unchanged_weights",
)  # fmt: skip

QUARTER_SLOPE = frozenset({"Sigmoid", "Hardsigmoid"})
"""Their slope never exceeds a quarter, and so no weights of a sane scale make up for them."""

MOST_QUARTERS = 2
"""So many of them lose an order of magnitude between them. Measured on digits: three saturated layers of Sigmoid went from an
accuracy of 0.51 to chance when Xavier initialization took them out of saturation."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose the initialization that fits the activation in use, where another is posted."""
    cause = finding.cause.what if finding.cause else None
    if cause in {"learning_rate", "data", "loss"} or not _has_layers_with_weights(posted):
        return []
    if is_through_time(finding):
        return _through_time(posted)
    vanishes = finding.rule == "vanishing_gradient"
    if _quarter_slopes(posted) > (0 if vanishes else MOST_QUARTERS) and not (vanishes and cause == "weights"):
        return []
    scheme = fitting_scheme(posted)
    # PyTorch's default is smaller than any scheme: it can make a gradient vanish, never explode.
    default_fits = not vanishes
    is_graph = isinstance(posted.spec.model, GraphModel)
    if _fits(posted, default_fits=default_fits):
        return []
    calm = calm_steps(posted) if vanishes else []
    scheme = HE if is_graph else scheme
    why = (
        f"The weights start at another scale than the activations ask for, and each layer multiplies the gradient by "
        f"the difference; {scheme.title} keeps its scale from layer to layer, and tells the units apart."
    )
    return [
        Candidate(
            f"initialization-{scheme.slug}",
            f"Use {scheme.title}, with zero biases{and_shorter_steps(calm)}",
            initialize(posted, scheme, default_fits=default_fits) + calm,
            why + (WHY_SHORTER_STEPS if calm else ""),
        )
    ]


def _fits(posted: Posted, *, default_fits: bool) -> bool:
    model = posted.spec.model
    if isinstance(model, GraphModel):
        # Its weights come with it and were drawn by its maker; of its activations nothing is known here.
        return model.init is None or any(fits(model.init, one, default_fits=True) for one in (HE, LECUN, XAVIER))
    scheme = fitting_scheme(posted)
    model_fits = fits(model.init, scheme, default_fits=default_fits)
    return model_fits and not misfits(posted, scheme, default_fits=default_fits)


def _through_time(posted: Posted) -> list[Candidate]:
    operations = orthogonal(posted)
    if not operations:
        return []
    why = (
        "The recurrent weights are multiplied with the gradient at every element of the sequence; an orthogonal matrix "
        "neither shrinks nor grows it. The activation still shrinks it a little each time."
    )
    title = "Start the recurrent layers with orthogonal weights and zero biases"
    return [Candidate("initialization-orthogonal", title, operations, why)]


def _has_layers_with_weights(posted: Posted) -> bool:
    is_graph = isinstance(posted.spec.model, GraphModel)
    return is_graph or any(isinstance(place.layer, WEIGHTED) for place in posted.places.values())


def _quarter_slopes(posted: Posted) -> int:
    """Count the layers whose slope never exceeds a quarter."""
    return sum(place.turns for place in posted.hidden(ACTIVATIONS) if place.layer.type in QUARTER_SLOPE)
