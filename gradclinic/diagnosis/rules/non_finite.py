"""A loss or a gradient became NaN or infinite.

Sees: the loss, the validation loss and the count of gradient elements that are not finite; one is enough.

Hurts: a step with such a gradient turns the weights into NaN, and no later step brings them back.

Silent: never, where it happened. A training that came through all the same is told as a warning.

Foresees: what is not finite in the first batches will not be in the first steps; critical.

Source: IEEE 754 arithmetic; the usual ways there are an overflow in exp or a product, and the logarithm of 0.
"""

from __future__ import annotations

import numpy as np

from gradclinic.contract.diagnosis import Evidence, Finding
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.rule import Rule
from gradclinic.history import History


def check(case: Case) -> Finding | None:
    """Fire at the first number that is not finite."""
    places = [place for place in (_in_number(case.history, name) for name in ("loss", "val_loss")) if place]
    in_gradient = _in_gradients(case.history)
    first = min(
        [*places, *([in_gradient[0]] if in_gradient else [])], key=lambda evidence: evidence.step or 0, default=None
    )
    if first is None:
        return None
    layers = in_gradient[1] if in_gradient else []
    where = f"the gradient of {layers[0]}" if first.signal == "grad_nonfinite" else f"the {first.signal}"
    return Finding(
        rule="non_finite",
        severity="critical" if case.learning.diverged or case.preflight is not None else "warning",
        first_step=first.step,
        layers=layers,
        summary=f"At step {first.step} {where} is not finite.",
        evidence=[first],
    )


def _in_number(history: History, name: str) -> Evidence | None:
    if name not in history:
        return None
    table = history[name]
    bad = ~np.isfinite(table.series())
    return Evidence(signal=name, value=None, step=int(table.steps[np.argmax(bad)])) if bad.any() else None


def _in_gradients(history: History) -> tuple[Evidence, list[str]] | None:
    if "grad_nonfinite" not in history:
        return None
    table = history.highest("grad_nonfinite")
    bad = table.values > 0
    if not bad.any():
        return None
    row = int(np.argmax(bad.any(axis=1)))
    parameters = [name for name, hit in zip(table.subjects, bad[row], strict=True) if hit]
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in parameters))
    count = float(table.values[row].sum())
    return Evidence(
        signal="grad_nonfinite", value=count, threshold=0.0, step=int(table.steps[row]), layer=parameters[0]
    ), layers


RULE = Rule(
    id="non_finite",
    documentation=__doc__ or "",
    signals=("loss",),
    check=check,
    certain=check,
    foresee=check,
    caused_by=("exploding_gradient",),
    sick=(
        {
            "model": {"layers": [{"type": "Linear", "out_features": 1}]},
            "data": {"type": "linear_regression", "noise": 0.1},
            "loss": {"type": "MSELoss"},
            "optimizer": {"type": "SGD", "lr": 3.0},
            "training": {"steps": 300},
        },
    ),
    healthy=(
        {
            "model": {"layers": [{"type": "Linear", "out_features": 1}]},
            "data": {"type": "linear_regression", "noise": 0.1},
            "loss": {"type": "MSELoss"},
            "optimizer": {"type": "SGD", "lr": 0.1},
            "training": {"steps": 300},
        },
    ),
)
