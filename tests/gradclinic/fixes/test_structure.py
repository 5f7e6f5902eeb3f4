"""Kinds that change what a model is made of: its depth and width, its gates, its connections."""

from __future__ import annotations

from typing import ClassVar

import pytest

from gradclinic.contract.diagnosis import Evidence
from gradclinic.contract.parse import parse_spec
from gradclinic.fixes import Measured, apply_patch, propose_fixes
from gradclinic.model import is_resolvable
from tests.gradclinic.fixes.sick import ALL_RULES, CAUSES, LINEAR, OUTPUT, SIGMOID, diagnosis, finding, repeat, spec_of

RELU = {"type": "ReLU"}
NARROW = {"type": "Linear", "out_features": 48}
IMAGES = {"type": "digits", "flatten": False}
ROWS = {"type": "Flatten", "end_dim": 2}
LAST = {"type": "RNN", "hidden_size": 8, "output": "last"}
ORTHOGONAL = {"weight": {"type": "orthogonal_"}, "bias": {"type": "zeros_"}}
CONV = {"type": "Conv2d", "out_channels": 8, "kernel_size": 3, "padding": 1}


def lost(gain, signal="backward_gain", rule="vanishing_gradient", cause="activation"):
    return finding(rule, cause, evidence=[Evidence(signal=signal, value=gain, threshold=1e-2, step=0)])


def fixes_of(kind, document, found, **measured):
    return [fix for fix in propose_fixes(document, diagnosis(found), measured=Measured(**measured)) if fix.kind == kind]


def fixed(kind, document, found, **measured):
    found = fixes_of(kind, document, found, **measured)
    if not found:
        return None
    patched = apply_patch(document, found[0].patch)
    assert is_resolvable(parse_spec(patched))
    return patched


TIME = lost(1e-9, "time_gain", cause="weights")


class TestDepth:
    def test_it_is_as_much_as_a_tenth_of_the_gradient_comes_through(self):
        """Ten decades over ten layers: one layer takes one, and one is left."""
        deep = spec_of(repeat(10, LINEAR, SIGMOID), OUTPUT)
        assert fixed("depth", deep, lost(1e-10))["model"]["layers"][0]["times"] == 1
        assert fixed("depth", deep, lost(1e-3))["model"]["layers"][0]["times"] == 3
        assert fixed("depth", deep, lost(1e4, rule="exploding_gradient"))["model"]["layers"][0]["times"] == 2

    def test_blocks_in_a_row_become_fewer_from_the_end(self):
        flat = spec_of(NARROW, RELU, *[NARROW, SIGMOID] * 4, LINEAR, RELU, OUTPUT)
        layers = fixed("depth", flat, lost(1e-2))["model"]["layers"]
        assert layers == [NARROW, RELU, *[NARROW, SIGMOID] * 2, LINEAR, RELU, OUTPUT]

    def test_a_repeat_within_one_is_counted_once(self):
        nested = spec_of(repeat(4, repeat(3, LINEAR, SIGMOID)), OUTPUT)
        assert fixed("depth", nested, lost(1e-4))["model"]["layers"] == [repeat(1, repeat(3, LINEAR, SIGMOID)), OUTPUT]

    @pytest.mark.parametrize("found", [finding("vanishing_gradient", "activation"), lost(0.5), lost(1e-8, "time_gain")])
    def test_it_needs_to_know_how_much_is_lost_over_depth(self, found):
        assert fixes_of("depth", spec_of(repeat(10, LINEAR, SIGMOID), OUTPUT), found) == []


class TestWidth:
    def test_every_hidden_layer_is_doubled(self):
        document = spec_of(CONV, RELU, {"type": "Flatten"}, NARROW, RELU, OUTPUT, data=IMAGES)
        layers = fixed("width", document, finding("loss_not_decreasing"))["model"]["layers"]
        assert layers[0]["out_channels"] == 16
        assert layers[3]["out_features"] == 96
        assert layers[-1] == OUTPUT

    def test_it_is_not_proposed_where_shapes_would_not_meet_or_something_else_is_wrong(self):
        summed = spec_of({"type": "Residual", "layers": [LINEAR, RELU]}, OUTPUT)
        posted = spec_of(NARROW, RELU, {**OUTPUT, "in_features": 48})
        for document in (summed, posted):
            assert fixes_of("width", document, finding("loss_not_decreasing")) == []
        assert fixes_of("width", spec_of(NARROW, RELU, OUTPUT), finding("loss_not_decreasing", "weights")) == []


class TestGating:
    def test_every_rnn_becomes_a_gru_with_orthogonal_weights(self):
        rnn = {"type": "RNN", "hidden_size": 8, "nonlinearity": "relu", "name": "memory", "output": "last"}
        document = spec_of(ROWS, repeat(2, {"type": "RNN", "hidden_size": 6}), rnn, OUTPUT, data=IMAGES)
        gru, lstm = fixes_of("gating", document, TIME)
        layers = apply_patch(document, gru.patch)["model"]["layers"]
        assert layers[1]["layers"] == [{"type": "GRU", "hidden_size": 6, "init": ORTHOGONAL}]
        assert layers[2] == {
            "type": "GRU",
            "hidden_size": 8,
            "name": "memory",
            "output": "last",
            "init": ORTHOGONAL,
        }
        assert apply_patch(document, lstm.patch)["model"]["layers"][2]["type"] == "LSTM"

    def test_plain_descent_becomes_adam_and_an_adaptive_optimizer_stays(self):
        rnn = spec_of(ROWS, LAST, OUTPUT, data=IMAGES)
        assert fixed("gating", rnn, TIME)["optimizer"] == {"type": "Adam", "lr": 0.005}
        rnn["optimizer"] = {"type": "NAdam", "lr": 0.02}
        assert fixed("gating", rnn, TIME)["optimizer"] == {"type": "NAdam", "lr": 0.02}

    def test_it_comes_first_where_the_gradient_is_lost_through_time(self):
        rnn = spec_of(ROWS, LAST, OUTPUT, data=IMAGES)
        kinds = [fix.kind for fix in propose_fixes(rnn, diagnosis(TIME))]
        assert kinds[:3] == ["gating", "activation", "initialization"]
        grown = lost(1e9, "time_gain", "exploding_gradient", "weights")
        assert [fix.kind for fix in propose_fixes(rnn, diagnosis(grown))][:2] == ["initialization", "gating"]

    def test_it_does_not_mend_what_is_lost_over_depth(self):
        rnn = spec_of(ROWS, LAST, OUTPUT, data=IMAGES)
        assert fixes_of("gating", rnn, lost(1e-9)) == []


class TestRecurrentLayers:
    def test_a_plain_one_gets_a_rectifier_with_orthogonal_weights(self):
        rnn = spec_of(ROWS, LAST, OUTPUT, data=IMAGES)
        layers = fixed("activation", rnn, lost(1e-9, "time_gain"))["model"]["layers"]
        assert layers[1] == {**LAST, "nonlinearity": "relu", "init": ORTHOGONAL}

    def test_the_models_initialization_does_not_count_for_recurrent_layers_attention_and_embeddings(self):
        attention, tokens = {"type": "MultiheadAttention", "num_heads": 2}, {"type": "Flatten"}
        small = {"weight": {"type": "normal_", "std": 1e-4}}
        document = spec_of(
            ROWS, LAST | {"output": "sequence"}, attention, LINEAR, RELU, tokens, OUTPUT, data=IMAGES, init=small
        )
        layers = fixed("initialization", document, lost(1e-9, cause="weights"))["model"]["layers"]
        assert layers[1]["init"] == ORTHOGONAL
        assert layers[2]["init"] == {}
        assert layers[3] == LINEAR


class TestDenseConnections:
    def test_the_turns_of_a_repeat_are_connected_and_end_as_wide_as_before(self):
        document = fixed("dense_connections", spec_of(repeat(10, LINEAR, SIGMOID), OUTPUT), lost(1e-8))
        assert document["model"]["layers"] == [
            {"type": "Dense", "times": 9, "layers": [{**LINEAR, "out_features": 16}, SIGMOID], "dim": 1},
            {"type": "Sequential", "layers": [LINEAR, SIGMOID]},
            OUTPUT,
        ]

    def test_equal_blocks_in_a_row_are_connected_along_their_channels(self):
        document = spec_of(*[CONV, RELU] * 4, {"type": "Flatten"}, OUTPUT, data=IMAGES)
        layers = fixed("dense_connections", document, lost(1e-8))["model"]["layers"]
        assert layers[0] == {"type": "Dense", "times": 3, "layers": [{**CONV, "out_channels": 2}, RELU], "dim": 1}
        assert layers[1:3] == [CONV, RELU]

    @pytest.mark.parametrize("layers", [
        (repeat(2, LINEAR, SIGMOID), OUTPUT),
        (repeat(8, {**LINEAR, "in_features": 64}, SIGMOID), OUTPUT),
        (repeat(8, LINEAR), OUTPUT),
        (LINEAR, SIGMOID, NARROW, SIGMOID, LINEAR, SIGMOID, OUTPUT),
    ])  # fmt: skip
    def test_it_is_not_proposed_where_there_are_no_equal_blocks(self, layers):
        assert fixes_of("dense_connections", spec_of(*layers), lost(1e-8)) == []


def test_the_shape_of_data_in_a_file_is_taken_from_whoever_trained_on_it():
    table = spec_of(repeat(5, LINEAR, SIGMOID), OUTPUT, data={"type": "table", "path": "rows.csv", "target": "y"})
    assert fixes_of("dense_connections", table, lost(1e-8)) == []
    assert fixes_of("dense_connections", table, lost(1e-8), input_shape=(12,), classes=10)


class TestGraphs:
    """Of a model that came as a graph no layer can be changed; what the spec says beside it can."""

    GRAPH: ClassVar = {"type": "graph", "artifact": "a" * 32}

    @pytest.mark.parametrize("rule", ALL_RULES)
    def test_what_is_proposed_changes_no_layer(self, rule):
        document = {**spec_of(OUTPUT), "model": self.GRAPH}
        for cause in CAUSES:
            for fix in propose_fixes(
                document, diagnosis(finding(rule, cause)), measured=Measured(class_shares=[0.1] * 10)
            ):
                assert apply_patch(document, fix.patch)["model"] == self.GRAPH

    def test_an_initialization_that_makes_copies_is_replaced(self):
        constant = {**self.GRAPH, "init": {"weight": {"type": "constant_", "val": 0.1}}}
        (document,) = (
            apply_patch({**spec_of(OUTPUT), "model": constant}, fix.patch)
            for fix in fixes_of(
                "initialization", {**spec_of(OUTPUT), "model": constant}, finding("poor_initialization", "weights")
            )
        )
        assert document["model"]["init"]["weight"] == {"type": "kaiming_normal_", "nonlinearity": "relu"}

    def test_classes_can_be_weighed(self):
        document = {**spec_of(OUTPUT), "model": self.GRAPH}
        assert (
            len(fixes_of("loss", document, finding("class_imbalance"), class_shares=[0.5, 0.5 / 9] + [0.5 / 9] * 8))
            == 2
        )
