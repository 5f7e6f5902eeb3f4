"""What is said of a network that nobody trained: predictions, how bad they are, and what they cannot be about."""

import copy
import json
import pathlib

import numpy as np
import pytest

from gradclinic.contract.parse import parse_spec
from gradclinic.contract.preflight import DepthSlope, PreflightFacts, Sharpness
from gradclinic.diagnosis import RULES, diagnose
from gradclinic.diagnosis.foresight import PREFIX
from gradclinic.diagnosis.survival import predicted_depth
from gradclinic.history import History, RunFacts, SignalTable, TargetFacts, Trivial
from gradclinic.training import train

EXAMPLES = pathlib.Path(__file__).parents[3] / "examples"
HEALTHY = [pytest.param(spec, id=f"{rule.id}-{number}") for rule in RULES for number, spec in enumerate(rule.healthy)]
SEEN_BEFORE = {
    "training_error": "critical",
    "loss_mismatch": "warning",
    "misplaced_activation": "warning",
    "unnormalized_input": "warning",
    "unnormalized_target": "warning",
    "poor_initialization": "critical",
    "exploding_gradient": "warning",
    "over_regularized": "warning",
    "learning_rate_too_high": "warning",
    "dead_units": "critical",
    "saturated_activations": "warning",
    "vanishing_gradient": "critical",
    "zero_gradient": "critical",
    "unchanged_weights": "critical",
    "class_imbalance": "info",
}
"""Rules whose sick example is seen before its training, and how bad it is then."""

LINEAR = {"type": "Linear", "out_features": 32}
NONE = {"weight": {"type": "zeros_"}, "bias": {"type": "zeros_"}}


def foresee(document, **thresholds):
    document = copy.deepcopy(dict(document))
    document["training"] = {k: v for k, v in document.get("training", {}).items() if k != "epochs"} | {"steps": 0}
    diagnosis = diagnose(train(parse_spec(document)).history, thresholds)
    return diagnosis, {finding.rule: finding for finding in diagnosis.findings}


def digits(*layers, optimizer=None, **more):
    return {
        "model": {"layers": [*layers, {"type": "Linear", "out_features": 10, **more.pop("last", {})}], **more},
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": optimizer or {"type": "SGD", "lr": 0.1},
    }


@pytest.mark.parametrize("document", HEALTHY)
def test_what_trains_well_is_let_through(document):
    diagnosis, _ = foresee(document)
    assert diagnosis.health == "healthy"


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.id in SEEN_BEFORE], ids=lambda rule: rule.id)
def test_what_shows_before_a_training_is_said_before_it(rule):
    _, findings = foresee(rule.sick[0])
    assert findings[rule.id].severity == SEEN_BEFORE[rule.id]
    assert all(finding.summary.startswith(PREFIX) for finding in findings.values())


def test_what_takes_a_training_is_named_and_not_judged():
    diagnosis, findings = foresee(digits(LINEAR, {"type": "ReLU"}))
    (note,) = (note for note in diagnosis.notes if note.startswith("Not judged"))
    unjudged = {rule.id for rule in RULES if rule.foresee is None}
    assert set(note.removesuffix(".").split(": ")[1].split(", ")) == unjudged
    assert {
        "overfitting",
        "oscillating_loss",
        "undertrained",
        "learning_rate_too_low",
        "loss_not_decreasing",
    } <= unjudged
    assert not unjudged & findings.keys()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_that_foresees_says_what(rule):
    assert (rule.foresee is None) == (rule.info().foresees is None)


def test_the_numbers_are_told_of_a_healthy_one_too():
    diagnosis, _ = foresee(digits(*[LINEAR, {"type": "Tanh"}] * 5))
    told = " ".join(diagnosis.notes)
    for words in ("Nothing was trained", "decades a layer", "The loss starts at", "The sharpness is"):
        assert words in told
    assert diagnosis.preflight.seeds == [0, 1, 2]
    assert diagnosis.outcome.steps == 0


def test_a_training_is_no_prediction():
    history = train(parse_spec(digits(LINEAR) | {"training": {"steps": 30}})).history
    diagnosis = diagnose(history)
    assert diagnosis.preflight is None
    assert not any(finding.summary.startswith(PREFIX) for finding in diagnosis.findings)


def test_an_optimizer_that_rescales_makes_a_small_gradient_an_info():
    layers = [{"type": "Repeat", "times": 5, "layers": [LINEAR, {"type": "Sigmoid"}]}]
    _, plain = foresee(digits(*layers))
    _, rescaled = foresee(digits(*layers, optimizer={"type": "Adam"}))
    assert plain["vanishing_gradient"].severity == "warning"
    assert rescaled["vanishing_gradient"].severity == "info"


def test_a_depth_is_predicted_with_its_interval():
    layers = [{"type": "Repeat", "times": 10, "layers": [LINEAR, {"type": "Sigmoid"}]}]
    _, findings = foresee(digits(*layers))
    (depth,) = (one for one in findings["vanishing_gradient"].evidence if one.signal == "predicted_depth")
    low, high = depth.ci95
    assert low < depth.value < high
    assert 1 < depth.value < 10


def test_a_last_layer_of_zeros_is_no_fault_and_a_network_of_zeros_is():
    diagnosis, _ = foresee(digits(LINEAR, {"type": "ReLU"}, last={"init": NONE}))
    assert diagnosis.health == "healthy"
    diagnosis, findings = foresee(digits(LINEAR, {"type": "ReLU"}, init=NONE))
    assert (
        diagnosis.health == findings["poor_initialization"].severity == findings["zero_gradient"].severity == "critical"
    )


@pytest.mark.parametrize("example", ["deep-residual", "adding-problem-lstm", "transformer", "convnet"])
def test_examples_that_train_well_are_let_through(example):
    """Among them one whose logits begin with a large offset in common, and one whose memory has gates that can open."""
    document = json.loads((EXAMPLES / f"{example}.json").read_text())
    assert foresee(document)[0].health == "healthy"


@pytest.mark.parametrize("imbalance", [1.0, 50.0])
def test_rare_classes_do_not_make_a_start_a_bad_one(imbalance):
    document = digits(LINEAR, {"type": "ReLU"}) | {
        "data": {"type": "moons", "samples": 4000, "noise": 0.3, "imbalance": imbalance}
    }
    document["model"]["layers"][-1]["out_features"] = 2
    _, findings = foresee(document)
    assert "poor_initialization" not in findings
    assert ("class_imbalance" in findings) == (imbalance > 10)


@pytest.mark.parametrize(
    ("over", "severity"), [(0.5, None), (3.0, None), (10.0, "warning")], ids=["stable", "catapult", "beyond"]
)
def test_only_beyond_the_catapult_a_rate_is_too_high(over, severity):
    document = digits(LINEAR, {"type": "Tanh"})
    sharp = foresee(document)[0].preflight.sharpness.values
    document["optimizer"] = {"type": "SGD", "lr": over * 2 / sorted(sharp)[1]}
    found = foresee(document)[1].get("learning_rate_too_high")
    assert (found.severity if found else None) == severity


def test_where_the_loss_is_quadratic_there_is_no_catapult():
    document = {
        "model": {"layers": [{"type": "Linear", "out_features": 1}]},
        "data": {"type": "linear_regression"},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "SGD", "lr": 0.1},
    }
    sharp = foresee(document)[0].preflight.sharpness.values
    for over, severity in ((0.9, None), (1.2, "critical")):
        document["optimizer"]["lr"] = over * 2 / sorted(sharp)[1]
        found = foresee(document)[1].get("learning_rate_too_high")
        assert (found.severity if found else None) == severity


def test_a_schedule_that_rises_is_not_blamed_for_a_first_rate_of_nothing():
    document = digits(LINEAR, {"type": "ReLU"}, optimizer={"type": "SGD", "lr": 1e-3})
    warm_up = {"type": "LinearLR", "start_factor": 1e-9, "total_iters": 10}
    assert foresee(document | {"scheduler": warm_up})[0].health == "healthy"
    assert foresee(digits(LINEAR, optimizer={"type": "SGD", "lr": 1e-12}))[0].health == "critical"


@pytest.mark.parametrize(
    ("per_layer", "ci95", "depth"),
    [(-0.5, (-0.6, -0.4), 4.0), (0.5, None, 4.0), (-0.5, (-1.1, 0.1), None), (0.0, None, None)],
)
def test_a_drift_that_may_be_none_has_no_depth(per_layer, ci95, depth):
    assert predicted_depth(DepthSlope(per_layer=per_layer, ci95=ci95, layers=9), 1e-2) == depth


@pytest.mark.parametrize(
    "sharpness", [None, Sharpness(values=[-1.0], border=1e-308), Sharpness(values=[0.0], border=None)]
)
@pytest.mark.parametrize("numbers", [[], [None, None], [0.0, 1e308], [-1.0, None]])
def test_an_odd_preflight_from_outside_ends_in_no_error(sharpness, numbers):
    preflight = PreflightFacts(
        seeds=[],
        batches=0,
        samples=0,
        initial_losses=numbers,
        gradient_norms=numbers,
        losses_after_step=numbers,
        gradient=DepthSlope(per_layer=1e-308, ci95=(1e-308, 1e308), layers=0),
        sharpness=sharpness,
    )
    facts = RunFacts(
        preflight=preflight,
        steps_planned=0,
        task="classification",
        targets=TargetFacts(class_shares=[1.0, 5e-324]),
        trivial=Trivial(train_loss=0.0),
    )
    losses = SignalTable(np.arange(2), ("",), np.array([[np.nan], [1.0]]))
    assert diagnose(History({"loss": losses}, facts)).preflight == preflight
    assert diagnose(History({}, facts)).findings is not None
