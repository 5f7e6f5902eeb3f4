"""The gradient through time: what a recurrent layer passes back over the steps of its input sequence.

Its output's gradient does not show that: the layer is one step of the trunk, and its sequence is inside. What is known is
measured before the first step (`LayerFacts.time_gain`): the gradient's norm at the first element over that at the last.
"""

from __future__ import annotations

from gradclinic.contract.diagnosis import Cause, Evidence, Finding, RuleId
from gradclinic.diagnosis.case import Case
from gradclinic.diagnosis.confidence import beyond


def lost_through_time(case: Case, rule: RuleId, threshold: float) -> Finding | None:
    """Find a recurrent layer whose gain over time is below a threshold under 1, or above one over 1."""
    known = [(layer, layer.time_gain) for layer in case.history.facts.layers if layer.time_gain is not None]
    off = [(layer, gain) for layer, gain in known if (gain < threshold if threshold < 1 else gain > threshold)]
    if not off:
        return None
    layer, gain = min(off, key=lambda one: one[1]) if threshold < 1 else max(off, key=lambda one: one[1])
    does = "shrinks" if threshold < 1 else "grows"
    return Finding(
        rule=rule,
        severity=case.severity,
        first_step=0,
        layers=[one.name for one, _ in off],
        summary=f"Through time the gradient {does} to {gain:.1g} times what it was, from the last to the first element of {layer.name}'s input.",
        evidence=[Evidence(signal="time_gain", value=gain, threshold=threshold, step=0, layer=layer.name)],
        cause=Cause(
            what="weights",
            detail=f"The recurrent weights of {layer.name} ({layer.type}) are multiplied with it at each element",
            share=1.0,
            confidence=beyond(gain, threshold) if threshold > 1 else beyond(threshold, gain),
        ),
    )
