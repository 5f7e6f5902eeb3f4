"""The output layer and the loss, and the classes that count too little."""

from __future__ import annotations

from typing import ClassVar

import pytest

from gradclinic.fixes import Measured, apply_patch, propose_fixes
from tests.gradclinic.fixes.sick import LINEAR, OUTPUT, diagnosis, finding, repeat, spec_of

RELU, SOFTMAX, SIGMOID = {"type": "ReLU"}, {"type": "Softmax"}, {"type": "Sigmoid"}
ONE = {"type": "Linear", "out_features": 1}
BINARY = {"type": "breast_cancer"}
NUMBERS = {"type": "diabetes"}


def fixed(document, rule="loss_mismatch", **measured):
    found = propose_fixes(document, diagnosis(finding(rule)), measured=Measured(**measured))
    fix = next((fix for fix in found if fix.kind == "loss"), None)
    return None if fix is None else apply_patch(document, fix.patch)


def layers_fixed(*layers, rule="loss_mismatch", **parts):
    document = fixed(spec_of(*layers, **parts), rule)
    return None if document is None else document["model"]["layers"]


@pytest.mark.parametrize("end", [[SOFTMAX], [SIGMOID], [RELU], [RELU, {"type": "LogSoftmax"}]])
def test_what_the_cross_entropy_has_itself_is_left_out(end):
    assert layers_fixed(LINEAR, RELU, OUTPUT, *end) == [LINEAR, RELU, OUTPUT]


def test_log_probabilities_are_their_own_logits():
    assert layers_fixed(LINEAR, RELU, OUTPUT, {"type": "LogSoftmax"}) is None


def test_an_activation_that_stands_alone_in_its_list_leaves_an_identity_under_its_name():
    last = {"type": "Sequential", "layers": [{"type": "Softmax", "name": "answer"}]}
    left = {"type": "Sequential", "layers": [{"type": "Identity", "name": "answer"}]}
    assert layers_fixed(LINEAR, RELU, OUTPUT, last) == [LINEAR, RELU, OUTPUT, left]


def test_an_activation_between_the_turns_of_the_output_layer_stays():
    assert layers_fixed(repeat(3, OUTPUT, SIGMOID)) is None


@pytest.mark.parametrize(("end", "layers"), [
    ([], [OUTPUT, {"type": "LogSoftmax"}]),
    ([SOFTMAX], [OUTPUT, {"type": "LogSoftmax"}]),
    ([RELU, SOFTMAX], [OUTPUT, {"type": "LogSoftmax"}]),
    ([{"type": "LogSoftmax"}], None),
])  # fmt: skip
def test_losses_of_log_probabilities_get_them(end, layers):
    assert layers_fixed(OUTPUT, *end, loss={"type": "NLLLoss"}) == layers


@pytest.mark.parametrize("rule", ["loss_mismatch", "training_error"])
def test_bce_of_logits_becomes_the_loss_that_takes_them(rule):
    loss = {"type": "BCELoss", "reduction": "sum"}
    document = fixed(spec_of(ONE, RELU, data=BINARY, loss=loss), rule)
    assert document["model"]["layers"] == [ONE]
    assert document["loss"] == {"type": "BCEWithLogitsLoss", "reduction": "sum"}
    assert fixed(spec_of(ONE, SIGMOID, data=BINARY, loss=loss), rule) is None


def test_a_distance_of_classes_becomes_the_cross_entropy():
    squared = {"type": "MSELoss"}
    one_hot = {"type": "digits", "one_hot": True}
    document = fixed(spec_of(OUTPUT, SIGMOID, data=one_hot, loss=squared), "loss_not_decreasing")
    assert (document["model"]["layers"], document["loss"]) == ([OUTPUT], {"type": "CrossEntropyLoss"})
    by_index = fixed(spec_of(LINEAR, RELU, ONE, SIGMOID, loss=squared), "vanishing_gradient")
    assert by_index["model"]["layers"] == [LINEAR, RELU, OUTPUT]


def test_what_cuts_off_answers_of_a_regression_is_left_out():
    squared = {"type": "MSELoss"}
    assert layers_fixed(LINEAR, RELU, ONE, SIGMOID, data=NUMBERS, loss=squared) == [LINEAR, RELU, ONE]
    cut_off = layers_fixed(LINEAR, RELU, ONE, RELU, rule="misplaced_activation", data=NUMBERS, loss=squared)
    assert cut_off == [LINEAR, RELU, ONE]
    tanh = spec_of(LINEAR, RELU, ONE, {"type": "Tanh"}, data=NUMBERS, loss=squared)
    assert fixed(tanh, "non_finite") is None


class TestClassWeights:
    @staticmethod
    def losses(document, *shares):
        found = propose_fixes(
            document, diagnosis(finding("class_imbalance")), measured=Measured(class_shares=list(shares))
        )
        return [apply_patch(document, fix.patch)["loss"] for fix in found if fix.kind == "loss"]

    TWO: ClassVar = {**OUTPUT, "out_features": 2}

    def test_each_class_weighs_the_root_of_the_inverse_of_its_share_and_then_the_inverse(self):
        mild, full = self.losses(spec_of(self.TWO, data=BINARY), 0.8, 0.2)
        assert mild["weight"] == [pytest.approx(0.625**0.5, abs=1e-3), pytest.approx(2.5**0.5, abs=1e-2)]
        assert full == {"type": "CrossEntropyLoss", "weight": [0.625, 2.5]}

    def test_a_binary_loss_weighs_the_positive_one(self):
        logits = spec_of(ONE, data=BINARY, loss={"type": "BCEWithLogitsLoss"})
        assert [loss["pos_weight"] for loss in self.losses(logits, 0.9, 0.1)] == [3.0, 9.0]

    def test_no_row_weighs_more_than_a_hundred_others(self):
        light, heavy = self.losses(spec_of(self.TWO, data=BINARY), 0.999, 0.001)[1]["weight"]
        assert heavy / light == pytest.approx(100, rel=0.01)

    @pytest.mark.parametrize("shares", [[], [1.0, 0.0], [0.5, 0.3, 0.2]])
    def test_shares_that_are_not_known_or_do_not_fit_the_output_weigh_nothing(self, shares):
        assert self.losses(spec_of(self.TWO, data=BINARY), *shares) == []

    def test_weights_that_are_posted_stay(self):
        weighed = {"type": "CrossEntropyLoss", "weight": [1.0, 3.0]}
        assert self.losses(spec_of(self.TWO, data=BINARY, loss=weighed), 0.8, 0.2) == []
