"""Dropout, and the scales of inputs and targets."""

from __future__ import annotations

import pytest

from gradclinic.contract.diagnosis import Evidence
from gradclinic.fixes import apply_patch, propose_fixes
from tests.gradclinic.fixes.sick import LINEAR, OUTPUT, diagnosis, finding, spec_of

RELU, DROPOUT = {"type": "ReLU"}, {"type": "Dropout", "p": 0.5}
OVERFITTING = finding("overfitting", severity="warning")
NUMBERS = {"type": "diabetes"}
ONE = {"type": "Linear", "out_features": 1}


def fixes_of(kind, document, found):
    return [apply_patch(document, fix.patch) for fix in propose_fixes(document, diagnosis(found)) if fix.kind == kind]


class TestDropout:
    def test_it_is_added_behind_each_hidden_activation_by_its_kind(self):
        conv = {"type": "Conv2d", "out_channels": 6, "kernel_size": 3}
        layers = (
            conv,
            {"type": "BatchNorm2d"},
            RELU,
            {"type": "Flatten"},
            LINEAR,
            {"type": "SELU"},
            LINEAR,
            RELU,
            OUTPUT,
        )
        (document,) = fixes_of("dropout", spec_of(*layers, data={"type": "digits", "flatten": False}), OVERFITTING)
        assert document["model"]["layers"] == [
            conv, {"type": "BatchNorm2d"}, RELU, {"type": "Dropout2d", "p": 0.2}, {"type": "Flatten"},
            LINEAR, {"type": "SELU"}, {"type": "AlphaDropout", "p": 0.1}, LINEAR, RELU, DROPOUT, OUTPUT,
        ]  # fmt: skip

    def test_what_is_posted_is_raised_instead(self):
        posted = spec_of(LINEAR, RELU, {"type": "Dropout", "p": 0.1}, LINEAR, RELU, OUTPUT)
        (document,) = fixes_of("dropout", posted, OVERFITTING)
        assert document["model"]["layers"] == [LINEAR, RELU, DROPOUT, LINEAR, RELU, OUTPUT]
        assert fixes_of("dropout", document, OVERFITTING) == []

    def test_one_that_drops_all_is_lowered_and_then_switched_off(self):
        posted = spec_of(
            LINEAR, RELU, {"type": "Dropout", "p": 1.0}, LINEAR, RELU, {"type": "Dropout", "p": 0.1}, OUTPUT
        )
        lower, off = fixes_of("dropout", posted, finding("zero_gradient"))
        assert [layer["p"] for layer in lower["model"]["layers"] if "p" in layer] == [0.2, 0.1]
        assert [layer["p"] for layer in off["model"]["layers"] if "p" in layer] == [0.0, 0.1]

    def test_stacked_recurrent_layers_have_one_of_their_own(self):
        gru = {"type": "GRU", "hidden_size": 8, "num_layers": 2, "output": "last", "dropout": 0.9}
        rows = spec_of({"type": "Flatten", "end_dim": 2}, gru, OUTPUT, data={"type": "digits", "flatten": False})
        strong = finding("over_regularized", "loss", evidence=[Evidence(signal="dropout", value=0.9)])
        assert fixes_of("dropout", rows, strong)[0]["model"]["layers"][1]["dropout"] == 0.2
        gru["dropout"] = 0.0
        assert fixes_of("dropout", rows, OVERFITTING)[0]["model"]["layers"][1]["dropout"] == 0.2

    def test_a_moderate_one_is_no_fault(self):
        assert fixes_of("dropout", spec_of(LINEAR, RELU, DROPOUT, OUTPUT), finding("zero_gradient")) == []


class TestInputScaling:
    RAW = finding("unnormalized_input", "data")

    @pytest.mark.parametrize("posted", [False, "minmax"])
    def test_inputs_are_scaled_by_mean_and_deviation(self, posted):
        (document,) = fixes_of("input_scaling", spec_of(OUTPUT, data={"type": "digits", "normalize": posted}), self.RAW)
        assert document["data"] == {"type": "digits", "normalize": True}

    def test_what_is_scaled_or_cannot_be_is_left_alone(self):
        assert fixes_of("input_scaling", spec_of(OUTPUT), self.RAW) == []
        sequences = {"type": "adding_problem", "normalize": False}
        flat = spec_of({"type": "Flatten"}, ONE, data=sequences, loss={"type": "MSELoss"})
        assert fixes_of("input_scaling", flat, self.RAW) == []


class TestTargetScaling:
    FAR = finding("unnormalized_target", "data")

    def test_what_could_not_answer_below_zero_goes_with_it(self):
        posted = spec_of(LINEAR, RELU, ONE, RELU, data=NUMBERS, loss={"type": "MSELoss"})
        (document,) = fixes_of("target_scaling", posted, self.FAR)
        assert document["data"] == {"type": "diabetes", "normalize_target": True}
        assert document["model"]["layers"] == [LINEAR, RELU, ONE]

    @pytest.mark.parametrize("parts", [
        {"loss": {"type": "PoissonNLLLoss"}, "data": NUMBERS},
        {"loss": {"type": "MSELoss"}, "data": {**NUMBERS, "normalize_target": True}},
        {"loss": {"type": "MSELoss"}, "data": {"type": "breast_cancer"}},
    ])  # fmt: skip
    def test_counts_classes_and_what_is_scaled_are_left_alone(self, parts):
        assert fixes_of("target_scaling", spec_of(ONE, **parts), self.FAR) == []
