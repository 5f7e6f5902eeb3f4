"""The loss swings to and fro and gets nowhere.

Sees: in the second half of the training, how far the loss is like itself some steps before (its autocorrelation) after its
trend is taken out, and how wide it swings; it fires where a swing of at most LONGEST steps comes back with more than
oscillation_regularity and is wider than oscillation_width of the loss.

Hurts: each step overshoots to the other side of a minimum that a shorter one would reach.

Silent: on noise, which is not like itself a moment later, and where training goes well: a loss that swings a little while it
falls is normal at the edge of stability (Cohen et al. 2021, arXiv 2103.00065).

Source: autocorrelation of a periodic series (Box & Jenkins 1970); for the two-cycle of steps of fixed length, the sign-like
gradients of an absolute loss.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gradclinic.contract.diagnosis import Cause, Evidence, Finding
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import share_beyond
from gradclinic.diagnosis.rule import Rule

LONGEST = 20
"""Steps of the longest swing that is looked for."""

FEWEST = 60
"""Steps that have to be there to tell a swing from chance: the autocorrelation of noise is below 2 / sqrt(30) = 0.37."""


def check(case: Case) -> Finding | None:
    """Fire on a regular swing of the loss that does harm."""
    table = case.history["loss"]
    losses = table.series()[len(table.steps) // 2 :]
    if 2 * len(losses) < FEWEST or not np.isfinite(losses).all() or case.severity == "info":
        return None
    largest = float(np.abs(losses).max())
    losses = losses / largest if largest > 0 else losses  # squares of a diverging loss leave float64
    level = abs(float(losses.mean()))
    swings = _without_trend(losses)
    width = float(swings.std()) / level if level > 0 else 0.0
    period, regularity = _period(swings)
    if regularity <= case.thresholds["oscillation_regularity"] or width <= case.thresholds["oscillation_width"]:
        return None
    return Finding(
        rule="oscillating_loss",
        severity=case.severity,
        first_step=int(table.steps[len(table.steps) // 2]),
        summary=f"The loss swings by {width:.0%} of its level every {period} steps, and comes back to where it was.",
        evidence=[
            Evidence(
                signal="loss_autocorrelation", value=regularity, threshold=case.thresholds["oscillation_regularity"]
            ),
            Evidence(signal="loss_swing", value=width, threshold=case.thresholds["oscillation_width"]),
        ],
        cause=Cause(
            what="learning_rate",
            detail="Steps overshoot to the other side and back again",
            share=1.0,
            confidence=share_beyond(regularity, case.thresholds["oscillation_regularity"]),
        ),
    )


def _without_trend(losses: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    at = np.arange(len(losses)) - (len(losses) - 1) / 2
    around = losses - losses.mean()
    return np.asarray(around - at * float(np.sum(at * around)) / float(np.sum(at * at)), np.float64)


def _period(swings: npt.NDArray[np.float64]) -> tuple[int, float]:
    """Return the lag at which the series is most like itself, and how much; only after it was unlike itself in between."""
    if not swings.any():
        return 0, 0.0
    likeness = [_likeness(swings[lag:], swings[:-lag]) for lag in range(1, min(LONGEST, len(swings) // 3) + 1)]
    # A slow wander is like itself at short lags without ever swinging: what counts comes after a turn to the other side.
    turned = next((place for place, value in enumerate(likeness) if value < 0), len(likeness))
    later = likeness[turned:]
    if not later:
        return 0, 0.0
    place = int(np.argmax(later))
    # Half a period before, it has to be as far on the other side.
    return turned + place + 1, min(later[place], -min(likeness))


def _likeness(later: npt.NDArray[np.float64], earlier: npt.NDArray[np.float64]) -> float:
    """Return the correlation of a series around 0 with its own past, by what the two parts have in common.

    Over the energy of the whole series, as is usual, a third is missing from the likeness of a perfect swing that comes three
    times: the later part has fewer terms.
    """
    # Not by `@`: on long series BLAS starts threads, and waits for them where the machine is busy, 12 ms for what takes 0.1.
    energy = float(np.sum(later * later)) * float(np.sum(earlier * earlier))
    return float(np.sum(later * earlier)) / float(np.sqrt(energy)) if energy > 0 else 0.0


def _regression(lr: float) -> dict[str, object]:
    return {
        "model": {"layers": [{"type": "Linear", "out_features": 1}]},
        "data": {"type": "linear_regression", "samples": 200, "features": 4},
        "loss": {"type": "L1Loss"},
        "optimizer": {"type": "SGD", "lr": lr},
        "training": {"steps": 200, "batch_size": 160},
    }


RULE = Rule(
    id="oscillating_loss",
    documentation=__doc__ or "",
    signals=("loss",),
    check=check,
    thresholds=("oscillation_regularity", "oscillation_width", "not_learned_skill", "harmed_skill"),
    caused_by=("learning_rate_too_high",),
    sick=(_regression(2.0),),
    healthy=(_regression(0.02),),
)
