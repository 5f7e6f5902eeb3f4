"""PyTorch raised an error in the middle of the training.

Sees: that a step or an evaluation raised; its words are the evidence.

Hurts: the training ended there, and whatever it had learned by then is what there is.

Silent: never, where it happened. What can be told from the spec alone is refused when it is posted.

Foresees: an error in the first batches is the same error in the first steps of a training.

Source: PyTorch itself: a loss or a layer that cannot take the values it is given, such as BCELoss of logits.
"""

from __future__ import annotations

from gradclinic.contract.diagnosis import Evidence, Finding
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.rule import Rule


def check(case: Case) -> Finding | None:
    """Fire where the run ended with an error."""
    error = case.history.facts.error
    if error is None:
        return None
    first_line = next(iter(error.message.splitlines()), error.type)
    return Finding(
        rule="training_error",
        severity="critical",
        first_step=error.step,
        summary=f"PyTorch raised {error.type} in step {error.step}: {first_line[:200]}",
        evidence=[Evidence(signal="error", value=None, step=error.step, words=error.message)],
    )


def _binary(*tail: str) -> dict[str, object]:
    layers = [{"type": "Linear", "out_features": 1}, *({"type": name} for name in tail)]
    return {
        "model": {"layers": layers},
        "data": {"type": "breast_cancer"},
        "loss": {"type": "BCELoss"},
        "optimizer": {"type": "Adam", "lr": 0.01},
        "training": {"steps": 200},
    }


RULE = Rule(
    id="training_error",
    documentation=__doc__ or "",
    signals=(),
    check=check,
    foresee=check,
    sick=(_binary(),),
    healthy=(_binary("Sigmoid"),),
)
