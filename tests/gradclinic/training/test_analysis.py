"""The whole diagnosis of a training, with what is measured beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gradclinic.contract.limits import Limits
from gradclinic.contract.parse import parse_spec
from gradclinic.diagnosis import diagnose
from gradclinic.errors import TrainingCancelled
from gradclinic.fixes import apply_patch
from gradclinic.model import is_resolvable
from gradclinic.training import analysis as module
from gradclinic.training import train
from gradclinic.training.analysis import analyse, measure

ALONE = "learning-rate-alone"


def document(lr: float = 0.1, **training: Any) -> dict[str, Any]:
    layers = [{"type": "Linear", "out_features": 32}, {"type": "ReLU"}, {"type": "Linear", "out_features": 10}]
    return {
        "model": {"layers": layers},
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": lr},
        "training": {"steps": 120, **training},
    }


def analysed(posted: Mapping[str, Any], **rest: Any) -> Any:
    spec = parse_spec(posted)
    return analyse(posted, spec, train(spec).history, **rest)


def test_a_healthy_training_costs_no_other(monkeypatch):
    monkeypatch.setattr(module, "suggest_learning_rate", None)
    diagnosis = analysed(document())
    assert diagnosis.health == "healthy"
    assert diagnosis.fixes == []


def test_a_rate_that_is_too_low_is_raised_to_what_was_measured_and_that_helps():
    posted = document(1e-5)
    diagnosis = analysed(posted)
    best = diagnosis.fixes[0]
    assert best.kind == "learning_rate"
    spec = parse_spec(apply_patch(posted, best.patch))
    assert diagnose(train(spec, seed=1).history).health == "healthy"


def test_clipping_that_cuts_every_gradient_is_loosened_and_that_helps():
    posted = document(clip_grad_norm=1e-3)
    diagnosis = analysed(posted)
    assert diagnosis.fixes[0].kind == "gradient_clipping"
    spec = parse_spec(apply_patch(posted, diagnosis.fixes[0].patch))
    assert diagnose(train(spec, seed=1).history).health == "healthy"


def test_the_change_of_the_rate_alone_is_there_last_and_once(monkeypatch):
    """It stands for itself where no fix is the same change, and is not there twice where one is."""
    squashed = document()
    squashed["model"]["layers"].append({"type": "Softmax", "dim": 1})
    with monkeypatch.context() as patched:
        patched.setattr(module, "suggest_learning_rate", lambda *_, **__: 0.5)
        ids = [fix.id for fix in analysed(squashed).fixes]
    assert ids.count(ALONE) == 1
    assert ids[-1] == ALONE
    slow = analysed(document(1e-5)).fixes
    patches = [str(fix.patch) for fix in slow]
    assert len(set(patches)) == len(patches)
    assert any(fix.kind == "learning_rate" for fix in slow)


def test_every_fix_stays_within_the_limits():
    limits = Limits(max_steps=200)
    short = document(3e-3, steps=30)
    fixes = analysed(short, limits=limits).fixes
    assert fixes
    assert all(is_resolvable(parse_spec(apply_patch(short, fix.patch)), limits) for fix in fixes)


def test_it_stops_when_asked():
    with pytest.raises(TrainingCancelled):
        analysed(document(1e-5), should_stop=lambda: True)


def test_what_is_measured_of_a_spec():
    spec = parse_spec(document(clip_grad_norm=1e-3))
    history = train(spec).history
    measured = measure(spec, history)
    assert measured.unclipped_lr is None
    assert measured.adam_lr is not None
    again = measure(spec, history, without_clipping=True)
    # Gradients a thousandth as long bear a rate that is as much higher; Adam divides by their length.
    assert again.suggested_lr is None or again.suggested_lr > 10 * again.unclipped_lr
    assert again.adam_lr == measured.adam_lr
    adaptive = parse_spec({**document(), "optimizer": {"type": "NAdam"}})
    assert measure(adaptive, history).adam_lr is None
