"""One class is so frequent that guessing it is nearly enough.

Sees: the share of each class in the training part, and how far the accuracy is above that of always guessing the most frequent
one; it fires where the frequencies differ by more than imbalance and that is not half of the way to perfect.

Hurts: the loss is won on the frequent class, and the rare one, which is often the one that matters, is never learned.

Silent: where the rare classes are learned all the same.

Foresees: the frequencies alone, as info: whether the rare classes are learned only a training shows.

Source: SageMaker Debugger's ClassImbalance; He & Garcia 2009, Learning from Imbalanced Data.
"""

from __future__ import annotations

from typing import Any

from gradclinic.contract.diagnosis import Cause, Evidence, Finding
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import KNOWN
from gradclinic.diagnosis.rule import Rule


def check(case: Case) -> Finding | None:
    """Fire where classes are out of balance and the model is little better than the most frequent one."""
    targets, skill = case.history.facts.targets, case.learning.metric_skill
    shares = [share for share in (targets.class_shares if targets else []) if share > 0]
    if len(shares) < 2 or skill is None:
        return None
    ratio, threshold = max(shares) / min(shares), case.thresholds["imbalance"]
    if ratio <= threshold or skill >= case.thresholds["harmed_skill"]:
        return None
    return Finding(
        rule="class_imbalance",
        severity="critical" if skill < case.thresholds["not_learned_skill"] else "warning",
        first_step=0,
        summary=f"The most frequent class has {max(shares):.0%} of the rows, {ratio:.3g} times the rarest; the model hardly does more than guess it.",
        evidence=[
            Evidence(signal="class_ratio", value=ratio, threshold=threshold),
            Evidence(signal="metric_skill", value=skill, threshold=case.thresholds["harmed_skill"]),
        ],
        cause=Cause(
            what="data", detail="Rows of the rare classes are too few to count in the loss", share=1.0, confidence=KNOWN
        ),
    )


def _foresee(case: Case) -> Finding | None:
    targets = case.history.facts.targets
    shares = [share for share in (targets.class_shares if targets else []) if share > 0]
    ratio, threshold = (max(shares) / min(shares) if len(shares) > 1 else 1.0), case.thresholds["imbalance"]
    if ratio <= threshold:
        return None
    return Finding(
        rule="class_imbalance",
        severity="info",
        first_step=0,
        summary=f"The most frequent class has {max(shares):.0%} of the rows, {ratio:.3g} times the rarest; the model may do little more than guess it.",
        evidence=[Evidence(signal="class_ratio", value=ratio, threshold=threshold)],
        cause=Cause(what="data", detail="Rows of the rare classes are few", share=1.0, confidence=KNOWN),
    )


def _clusters(imbalance: float) -> dict[str, Any]:
    layers = [{"type": "Linear", "out_features": 16}, {"type": "ReLU"}, {"type": "Linear", "out_features": 2}]
    return {
        "model": {"layers": layers},
        "data": {"type": "moons", "samples": 4000, "noise": 0.3, "imbalance": imbalance},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": 0.05},
        "training": {"steps": 200},
    }


RULE = Rule(
    id="class_imbalance",
    documentation=__doc__ or "",
    signals=("loss",),
    check=check,
    foresee=_foresee,
    thresholds=("imbalance", "not_learned_skill", "harmed_skill"),
    sick=(_clusters(50.0),),
    healthy=(_clusters(1.0),),
)
