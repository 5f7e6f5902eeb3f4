"""What holds of the fixes of training for every spec, finding and measurement."""

from __future__ import annotations

import copy
from typing import Any, get_args

import jsonpatch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradclinic.contract.diagnosis import Finding, RuleId
from gradclinic.contract.parse import parse_spec
from gradclinic.fixes import Measured, learning_rate_alone, propose_fixes
from tests.gradclinic.fixes.sick import CAUSES, LINEAR, OUTPUT, SIGMOID, diagnosis, finding, repeat, spec_of

EXAMPLES = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TYPES = ("SGD", "Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta", "Adamax", "ASGD", "Rprop")
OPTIMIZERS: tuple[dict[str, Any], ...] = (
    *({"type": type_, "lr": lr} for type_ in TYPES for lr in (0.0, 1e-9, 0.1, 1e4)),
    {"type": "SGD", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 3.0},
    {"type": "SGD", "momentum": 2.0},
    {"type": "AdamW"},
    {"type": "Adam", "weight_decay": 0.5, "maximize": True},
)
SCHEDULERS: tuple[Any, ...] = (
    None,
    {"type": "StepLR", "step_size": 3},
    {"type": "StepLR", "step_size": 3, "interval": "step"},
    {"type": "OneCycleLR", "max_lr": 0.5, "cycle_momentum": False},
    {"type": "CyclicLR", "base_lr": 0.0, "max_lr": 0.5, "cycle_momentum": False},
    {"type": "ReduceLROnPlateau"},
    {"type": "ExponentialLR", "gamma": 0.1},
    {
        "type": "SequentialLR",
        "schedulers": [{"type": "LinearLR"}, {"type": "StepLR", "step_size": 9}],
        "milestones": [5],
    },
)
TRAININGS: tuple[dict[str, Any], ...] = (
    {},
    {"steps": 1},
    {"steps": 1_000_000},
    {"epochs": 7, "batch_size": 1},
    {"clip_grad_norm": 1e-3, "l1": 0.5},
    {"clip_grad_value": 0.1, "early_stopping": {}},
    {"early_stopping": {"restore_best": True}, "evaluate_every": 3, "batch_size": 5000},
)
positive = st.none() | st.sampled_from((1e-30, 1e-6, 0.01, 0.7, 30.0, 1e20))
counts = st.none() | st.sampled_from((1, 2, 30, 400, 100_000))


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "optimizer": draw(st.sampled_from(OPTIMIZERS)),
        "scheduler": draw(st.sampled_from(SCHEDULERS)),
    }
    if draw(st.booleans()):
        parts["training"] = draw(st.sampled_from(TRAININGS))
    return spec_of(repeat(3, LINEAR, SIGMOID), OUTPUT, **parts)


@st.composite
def measurements(draw: st.DrawFn) -> Measured:
    norms = draw(st.none() | st.sampled_from((1e-30, 0.5, 1e9)))
    return Measured(
        suggested_lr=draw(positive),
        adam_lr=draw(positive),
        unclipped_lr=draw(positive),
        initial_grad_norm=draw(positive),
        initial_weight_norm=draw(positive),
        grad_norm_percentile={} if norms is None else {10: norms / 10, 50: norms, 90: norms * 10},
        steps=draw(counts),
        steps_per_epoch=draw(counts),
        best_step=draw(counts),
        batch_size=draw(counts),
        parameters=draw(counts),
        lr_fell_at=draw(counts),
        noise_scale=draw(st.sampled_from((None, 0.5, 40.0, 1e12, float("inf")))),
        loss_fall=draw(st.sampled_from((None, -1.0, 0.0, 0.05, 0.5, 1.0))),
    )


@st.composite
def findings(draw: st.DrawFn) -> list[Finding]:
    rules = draw(st.lists(st.sampled_from(get_args(RuleId)), min_size=1, max_size=5, unique=True))
    return [
        finding(rule, draw(st.sampled_from(CAUSES)), first_step=draw(st.sampled_from((0, 5, 300)))) for rule in rules
    ]


@EXAMPLES
@given(documents(), findings(), measurements())
def test_every_patch_changes_the_spec_into_a_valid_one(
    document: dict[str, Any], found: list[Finding], measured: Measured
) -> None:
    before = copy.deepcopy(document)
    fixes = propose_fixes(document, diagnosis(*found), measured=measured)
    alone = learning_rate_alone(document, diagnosis(*found), measured)
    for fix in [*fixes, *([alone] if alone else [])]:
        patched = jsonpatch.apply_patch(document, fix.patch)
        assert patched != document, fix
        parse_spec(patched)
        assert set(fix.addresses) <= {one.rule for one in found}
        assert fix.addresses
    assert document == before
    assert len({fix.id for fix in fixes}) == len(fixes)
    assert len({str(fix.patch) for fix in fixes}) == len(fixes)


@EXAMPLES
@given(documents(), measurements(), st.sampled_from((None, "activation", "weights", "depth")))
def test_no_clipping_and_no_other_rate_is_proposed_against_a_vanishing_gradient(
    document: dict[str, Any], measured: Measured, cause: Any
) -> None:
    vanishing = finding("vanishing_gradient", cause)
    effect = finding("loss_not_decreasing", caused_by="vanishing_gradient")
    kinds = {fix.kind for fix in propose_fixes(document, diagnosis(vanishing, effect), measured=measured)}
    assert kinds
    assert kinds.isdisjoint({"learning_rate", "gradient_clipping", "warmup", "lr_schedule", "training_length"})
