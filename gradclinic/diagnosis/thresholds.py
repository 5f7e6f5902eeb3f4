"""The one table of numbers that decide whether a rule fires; a spec overrides them under `diagnosis.thresholds`.

All are ratios: an absolute threshold for a gradient says nothing, for published ones span 1e-4 to 1e-8 for "vanishing"
and 10 to 1e6 for "exploding".
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from gradclinic.contract.catalogue import ThresholdInfo
from gradclinic.contract.naming import pointer
from gradclinic.errors import Fault

_TABLE = (
    ThresholdInfo(
        name="vanishing_gain",
        default=1e-2,
        meaning="Backward gain from the output to the first trained layer, below which the gradient counts as vanishing.",
        source=(
            "Our choice. A trainable network keeps it within about a factor of ten at any depth (Glorot & Bengio 2010, "
            "figure 7; He et al. 2015, section 2.2); a hundred leaves room for what the output layer does."
        ),
    ),
    ThresholdInfo(
        name="exploding_gain",
        default=1e2,
        meaning="Backward gain from the output to the first trained layer, above which the gradient counts as exploding.",
        source="The reciprocal of vanishing_gain: growth and decay are one straight line in the logarithm (Schoenholz et al. 2017).",
    ),
    ThresholdInfo(
        name="exploding_growth",
        default=1e3,
        meaning="Norm of the whole gradient over its median in the first steps, above which it counts as exploding.",
        source="Our choice, above the spikes of up to 1000 times that trainings have been seen to survive (SPAM, arXiv 2501.06842).",
    ),
    ThresholdInfo(
        name="overshooting_update",
        default=0.3,
        meaning="Update of a weight relative to the weight, above which what breaks afterwards is the step's doing.",
        source="Our choice: 300 times the 1e-3 that is usual (cs231n), and three times the 0.1 that TheDeepChecker calls fast.",
    ),
    ThresholdInfo(
        name="unchanged_update",
        default=1e-7,
        meaning="Update of a weight relative to the weight, below which it is lost in rounding.",
        source="The spacing of float32 numbers, 1.2e-7 of their size (IEEE 754); SageMaker Debugger has 1e-8.",
    ),
    ThresholdInfo(
        name="short_way",
        default=0.1,
        meaning="Sum of the updates of the median weight relative to it over the whole training, below which its steps were too short.",
        source="Our choice: a hundred steps of the 1e-3 that is usual (cs231n).",
    ),
    ThresholdInfo(
        name="too_long_update",
        default=1.0,
        meaning="Update of a weight relative to the weight, above which the step was too long.",
        source="Our choice: a step as long as what it starts from leaves nothing of it; ten times what TheDeepChecker calls fast.",
    ),
    ThresholdInfo(
        name="loss_jump",
        default=10.0,
        meaning="Largest loss over the first one, above which a step threw the weights away.",
        source="The tuning playbook (Godbole et al. 2023) looks for jumps of 5 to 10 times after the first steps.",
    ),
    ThresholdInfo(
        name="catapult",
        default=6.0,
        meaning="Sharpness before training over the largest that steps of SGD's rate bear on a quadratic loss (2 / lr), above which they diverge.",
        source="Lewkowycz et al. 2020, arXiv 2003.02218: up to 4 / lr, and up to 12 / lr with ReLU, a training catapults into a flatter place.",
    ),
    ThresholdInfo(
        name="clipped_share",
        default=0.9,
        meaning="Share of the steps whose gradient was clipped, above which clipping sets the length of the steps.",
        source="Our choice of 'nearly every'; the tuning playbook (Godbole et al. 2023) lowers the rate from one half.",
    ),
    ThresholdInfo(
        name="overfitting_rise",
        default=1.25,
        meaning="Validation loss at the end over the best one, above which it has turned upwards.",
        source="Our choice; Prechelt 1998 stops at a generalisation loss of 5 to 50 percent.",
    ),
    ThresholdInfo(
        name="overfitting_gap",
        default=2.0,
        meaning="Validation loss over training loss at the end, above which the one has left the other behind.",
        source="Our choice; SageMaker Debugger's Overfit has 1.1, which flags most trainings that go well.",
    ),
    ThresholdInfo(
        name="overfitting_loss",
        default=0.2,
        meaning="Share of the metric's best gain over the trivial one that is lost at the end, above which overfitting does harm.",
        source="Our choice: a fifth.",
    ),
    ThresholdInfo(
        name="oscillation_regularity",
        default=0.7,
        meaning="Autocorrelation of the loss after a whole swing, above which it oscillates.",
        source="Our choice: seven tenths of the variance are the swing's, which comes back while the noise does not; of noise alone it stays below 2 / sqrt(steps).",
    ),
    ThresholdInfo(
        name="oscillation_width",
        default=0.05,
        meaning="Deviation of the loss around its trend relative to its level, above which the swing is worth a word.",
        source="Our choice: a twentieth.",
    ),
    ThresholdInfo(
        name="dead_share",
        default=0.5,
        meaning="Share of a layer's units that no sample activates, above which the layer is dying.",
        source="SageMaker Debugger's DeadRelu: more than half of the units; there by batch, here over many samples.",
    ),
    ThresholdInfo(
        name="saturated_share",
        default=0.5,
        meaning="Share of a layer's outputs in the flat part of their activation, above which it counts as saturated.",
        source="SageMaker Debugger's SaturatedActivation and DeepDiagnosis: one half.",
    ),
    ThresholdInfo(
        name="alike_share",
        default=0.5,
        meaning="Share of a layer's units that begin with the weights of another, above which they cannot become different.",
        source="Our choice; one pair is a coincidence, half of a layer is an initialization.",
    ),
    ThresholdInfo(
        name="start_loss",
        default=3.0,
        meaning="First loss of a classification over that of a network that is sure of nothing, above which the initialization is too large.",
        source="The first cross entropy has to be about ln(classes); TheDeepChecker allows a relative error of 1, twice the value.",
    ),
    ThresholdInfo(
        name="noise_over_batch",
        default=10.0,
        meaning="Gradient noise scale over the batch size, above which a step is mostly noise.",
        source="McCandlish et al. 2018, arXiv 1812.06162: at a batch of the noise scale half of a step is signal.",
    ),
    ThresholdInfo(
        name="input_scale",
        default=10.0,
        meaning="Root mean square of the largest input feature, above which inputs count as not normalized; also of the smallest, below its inverse.",
        source="LeCun et al. 1998, Efficient BackProp: inputs of about unit variance. Our choice: within a factor of ten.",
    ),
    ThresholdInfo(
        name="target_scale",
        default=10.0,
        meaning="Root mean square of a regression's targets, above which they count as not normalized; also below its inverse.",
        source="As for inputs: outputs of a fresh network are about 1.",
    ),
    ThresholdInfo(
        name="imbalance",
        default=10.0,
        meaning="Most frequent class over the rarest, above which the classes count as out of balance.",
        source="SageMaker Debugger's ClassImbalance: 10.",
    ),
    ThresholdInfo(
        name="restraint_share",
        default=0.5,
        meaning="Pull of the weight decay over the gradient's, above which it holds learning back.",
        source="Our choice: half as strong as the data.",
    ),
    ThresholdInfo(
        name="large_dropout",
        default=0.7,
        meaning="Probability of a dropout, above which it leaves too little to learn from.",
        source="Srivastava et al. 2014, figure 9: errors rise above 0.5 to 0.7.",
    ),
    ThresholdInfo(
        name="still_falling",
        default=0.1,
        meaning="Share of its loss that a training lost in its last fifth, above which it ended too early.",
        source="Our choice: a tenth in a fifth of the steps; the tuning playbook looks for the best checkpoint near the end.",
    ),
    ThresholdInfo(
        name="not_learned_skill",
        default=0.25,
        meaning="Share of the way from a trivial predictor to a perfect one, below which a model has not learned.",
        source="Our choice: a quarter of the way is what 'barely better' means here.",
    ),
    ThresholdInfo(
        name="good_skill",
        default=0.8,
        meaning="The same share, below which a fault that stands in the spec itself counts as harm: there is nothing else to suspect.",
        source="Our choice: four fifths of the way.",
    ),
    ThresholdInfo(
        name="harmed_skill",
        default=0.5,
        meaning="The same share, below which a symptom counts as harming the training.",
        source="Our choice: half of the way.",
    ),
)

THRESHOLDS: Mapping[str, ThresholdInfo] = {threshold.name: threshold for threshold in _TABLE}
"""All thresholds by name."""


def thresholds_with(overrides: Mapping[str, float] | None) -> dict[str, float]:
    """Return all thresholds, the documented defaults replaced by `overrides`."""
    return {name: threshold.default for name, threshold in THRESHOLDS.items()} | dict(overrides or {})


def check_thresholds(overrides: Mapping[str, float]) -> list[Fault]:
    """List what is wrong with overridden thresholds: names that do not exist, numbers that are no ratio."""
    faults = []
    for name, value in overrides.items():
        place = pointer("diagnosis", "thresholds", name)
        if name not in THRESHOLDS:
            faults.append(Fault(place, f"There is no threshold {name!r}.", ", ".join(THRESHOLDS)))
        elif not (value > 0 and math.isfinite(value)):
            faults.append(Fault(place, f"The threshold {name} is {value:g}.", "a finite number above 0"))
    return faults
