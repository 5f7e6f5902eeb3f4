"""The patch that each kind of fix makes, on specs small enough to read."""

from __future__ import annotations

import pytest

from gradclinic.contract.diagnosis import Evidence
from gradclinic.fixes import apply_patch, propose_fixes
from gradclinic.fixes.residual import ROAD
from tests.gradclinic.fixes.sick import LINEAR, OUTPUT, SIGMOID, diagnosis, finding, repeat, spec_of

RELU, TANH, BATCH, BATCH2 = {"type": "ReLU"}, {"type": "Tanh"}, {"type": "BatchNorm1d"}, {"type": "BatchNorm2d"}
HE = {"weight": {"type": "kaiming_normal_", "nonlinearity": "relu"}, "bias": {"type": "zeros_"}}
XAVIER = {"weight": {"type": "xavier_normal_"}, "bias": {"type": "zeros_"}}
BARE = {**LINEAR, "bias": False}
NARROW = {"type": "Linear", "out_features": 48}
VANISHING = finding("vanishing_gradient", "activation")
EXPLODING = finding("exploding_gradient", "weights")


def fix_of(kind, document, found=VANISHING):
    return next((fix for fix in propose_fixes(document, diagnosis(found)) if fix.kind == kind), None)


def fixed(kind, document, found=VANISHING):
    return apply_patch(document, fix_of(kind, document, found).patch)


def layers_fixed(kind, *layers, found=VANISHING, **parts):
    return fixed(kind, spec_of(*layers, **parts), found)["model"]["layers"]


class TestActivation:
    def test_every_hidden_one_is_replaced_and_the_one_that_belongs_to_the_loss_stays(self):
        named = {"type": "Tanh", "name": "squash"}
        residual = {"type": "Residual", "layers": [LINEAR, named]}
        layers = layers_fixed("activation", repeat(2, LINEAR, SIGMOID), residual, OUTPUT, SIGMOID)
        assert layers == [
            repeat(2, LINEAR, RELU),
            {"type": "Residual", "layers": [LINEAR, {"type": "ReLU", "name": "squash"}]},
            OUTPUT,
            SIGMOID,
        ]

    def test_he_initialization_comes_with_it(self):
        own = {**LINEAR, "init": {"weight": {"type": "ones_"}}}
        document = fixed("activation", spec_of(own, SIGMOID, OUTPUT, init={"weight": {"type": "xavier_normal_"}}))
        assert document["model"] == {"layers": [LINEAR, RELU, OUTPUT], "init": HE}
        assert fixed("activation", spec_of(LINEAR, SIGMOID, OUTPUT))["model"]["init"] == HE

    def test_shorter_steps_come_with_it_where_plain_sgd_meets_depth(self):
        deep = spec_of(repeat(19, LINEAR, SIGMOID), OUTPUT, optimizer={"type": "SGD", "lr": 0.1})
        assert fixed("activation", deep)["optimizer"]["lr"] == 0.02
        deep["optimizer"] = {"type": "SGD", "lr": 0.1, "momentum": 0.9}
        assert fixed("activation", deep)["optimizer"]["lr"] == 0.002
        deep["optimizer"] = {"type": "Adam", "lr": 0.1}
        assert fixed("activation", deep)["optimizer"]["lr"] == 0.1

    def test_what_the_cause_names_is_replaced_too(self):
        gelu = finding("vanishing_gradient", "activation", detail="GELU passes on 0.5 of the gradient")
        assert layers_fixed("activation", LINEAR, {"type": "GELU"}, OUTPUT, found=gelu) == [LINEAR, RELU, OUTPUT]
        assert fix_of("activation", spec_of(LINEAR, {"type": "GELU"}, OUTPUT)) is None

    def test_alpha_dropout_takes_the_place_of_dropout_beside_selu(self):
        dropped = spec_of(LINEAR, SIGMOID, {"type": "Dropout", "p": 0.3}, OUTPUT)
        fixes = {fix.id: fix for fix in propose_fixes(dropped, diagnosis(VANISHING))}
        layers = apply_patch(dropped, fixes["activation-selu"].patch)["model"]["layers"]
        assert layers == [LINEAR, {"type": "SELU"}, {"type": "AlphaDropout", "p": 0.3}, OUTPUT]

    @pytest.mark.parametrize("disturbing", [{"type": "Dropout1d"}, BATCH, RELU])
    def test_selu_is_proposed_in_plain_chains_only(self, disturbing):
        ids = [fix.id for fix in propose_fixes(spec_of(LINEAR, SIGMOID, OUTPUT), diagnosis(VANISHING))]
        assert {"activation-relu", "activation-selu"} <= set(ids)
        disturbed = spec_of(LINEAR, SIGMOID, disturbing, LINEAR, SIGMOID, OUTPUT)
        assert "activation-selu" not in [fix.id for fix in propose_fixes(disturbed, diagnosis(VANISHING))]

    def test_an_activation_between_the_turns_of_the_output_layer_stays(self):
        assert fix_of("activation", spec_of(repeat(3, OUTPUT, SIGMOID))) is None


class TestInitialization:
    WEIGHTS = finding("vanishing_gradient", "weights")

    @pytest.mark.parametrize(("activation", "init"), [
        (RELU, HE), (TANH, XAVIER), (SIGMOID, XAVIER), ({"type": "GELU"}, HE),
        ({"type": "SELU"}, {**HE, "weight": {"type": "kaiming_normal_", "nonlinearity": "linear"}}),
    ])  # fmt: skip
    def test_it_fits_the_activation(self, activation, init):
        small = {"weight": {"type": "normal_", "std": 0.01}}
        for posted in (None, small):
            document = spec_of(repeat(3, LINEAR, activation), OUTPUT, init=posted)
            assert fixed("initialization", document, self.WEIGHTS)["model"]["init"] == init

    def test_a_layers_own_gives_way(self):
        own = {**LINEAR, "init": {"weight": {"type": "normal_", "std": 1.0}}}
        document = spec_of(own, RELU, {"type": "Sequential", "layers": [own, RELU]}, OUTPUT, init=HE)
        layers = [LINEAR, RELU, {"type": "Sequential", "layers": [LINEAR, RELU]}, OUTPUT]
        assert fixed("initialization", document, EXPLODING)["model"] == {"layers": layers, "init": HE}

    @pytest.mark.parametrize("fitting", [HE, {"weight": {"type": "kaiming_uniform_"}, "bias": {"type": "zeros_"}}])
    def test_one_that_fits_is_left_alone(self, fitting):
        assert fix_of("initialization", spec_of(LINEAR, RELU, OUTPUT, init=fitting), self.WEIGHTS) is None

    def test_pytorchs_default_is_too_small_and_never_too_large(self):
        default = spec_of(repeat(3, LINEAR, RELU), OUTPUT)
        assert fix_of("initialization", default, self.WEIGHTS) is not None
        assert fix_of("initialization", default, EXPLODING) is None

    def test_it_does_not_help_sigmoid_nor_a_learning_rate(self):
        large = {"weight": {"type": "normal_"}}
        assert fix_of("initialization", spec_of(LINEAR, SIGMOID, OUTPUT, init=large)) is None
        fast = finding("exploding_gradient", "learning_rate")
        assert fix_of("initialization", spec_of(LINEAR, RELU, OUTPUT, init=large), fast) is None


class TestNormalization:
    def test_it_stands_between_each_hidden_linear_and_its_activation(self):
        residual = {"type": "Residual", "layers": [LINEAR, TANH, LINEAR], "shortcut": [LINEAR]}
        layers = layers_fixed("normalization", LINEAR, SIGMOID, repeat(2, LINEAR, TANH), residual, LINEAR, OUTPUT, TANH)
        assert layers == [
            BARE, BATCH, SIGMOID, repeat(2, BARE, BATCH, TANH),
            {"type": "Residual", "layers": [BARE, BATCH, TANH, BARE, BATCH], "shortcut": [LINEAR]},
            BARE, BATCH, OUTPUT, TANH,
        ]  # fmt: skip

    def test_convolutions_get_that_of_their_dimensions_and_recurrent_layers_one_of_each_sample(self):
        small = {"type": "Conv2d", "out_channels": 8, "kernel_size": 3}
        images = spec_of(small, RELU, {"type": "Flatten"}, OUTPUT, data={"type": "digits", "flatten": False})
        layers = fixed("normalization", images)["model"]["layers"]
        assert layers[:3] == [{**small, "bias": False}, {"type": "BatchNorm2d"}, RELU]
        images["training"] = {"batch_size": 4}
        assert fixed("normalization", images)["model"]["layers"][:2] == [small, {"type": "GroupNorm", "num_groups": 4}]
        lstm = {"type": "LSTM", "hidden_size": 8}
        images["model"]["layers"] = [{"type": "Flatten", "end_dim": 2}, lstm, {"type": "Flatten"}, OUTPUT]
        assert fixed("normalization", images)["model"]["layers"][1:3] == [lstm, {"type": "LayerNorm"}]

    @pytest.mark.parametrize("layers", [
        (LINEAR, BATCH, RELU, OUTPUT),
        (LINEAR, RELU, {"type": "Dropout"}, {"type": "LayerNorm"}, OUTPUT),
        (repeat(2, {"type": "LayerNorm"}, LINEAR, RELU), OUTPUT),
        ({"type": "Sequential", "layers": [LINEAR]}, BATCH, OUTPUT),
        (OUTPUT,),
    ])  # fmt: skip
    def test_where_one_follows_already_none_is_added(self, layers):
        assert fix_of("normalization", spec_of(*layers)) is None

    def test_small_batches_and_samples_that_are_no_vectors_get_layer_norm(self):
        small = layers_fixed("normalization", LINEAR, RELU, OUTPUT, training={"batch_size": 4})
        assert small == [LINEAR, {"type": "LayerNorm"}, RELU, OUTPUT]
        images = layers_fixed(
            "normalization", LINEAR, RELU, {"type": "Flatten"}, OUTPUT, data={"type": "digits", "flatten": False}
        )
        assert images == [LINEAR, {"type": "LayerNorm"}, RELU, {"type": "Flatten"}, OUTPUT]

    def test_layer_norm_never_follows_a_layer_of_one_feature(self):
        thin = spec_of({"type": "Linear", "out_features": 1}, RELU, OUTPUT, training={"batch_size": 1})
        assert fix_of("normalization", thin) is None


class TestResidual:
    def test_turns_that_keep_their_shape_are_wrapped(self):
        wrapped = repeat(5, {"type": "Residual", "layers": [LINEAR, SIGMOID]})
        assert layers_fixed("residual", repeat(5, LINEAR, SIGMOID), OUTPUT) == [wrapped, BATCH, OUTPUT]

    def test_a_first_turn_that_changes_the_size_is_put_before(self):
        wrapped = repeat(4, {"type": "Residual", "layers": [NARROW, SIGMOID]})
        layers = layers_fixed("residual", TANH, repeat(5, NARROW, SIGMOID), OUTPUT)
        assert layers == [TANH, NARROW, SIGMOID, wrapped, BATCH, OUTPUT]

    def test_names_that_would_clash_stay_in_a_group(self):
        inner, outer = {**NARROW, "name": "one"}, {"type": "Tanh", "name": "one"}
        layers = layers_fixed("residual", outer, repeat(3, inner, SIGMOID), OUTPUT)
        assert layers[:2] == [outer, {"type": "Sequential", "layers": [inner, SIGMOID]}]

    def test_blocks_side_by_side_are_wrapped_with_a_projection_where_sizes_differ(self):
        group = {"type": "Sequential", "layers": [LINEAR, TANH]}
        layers = layers_fixed(
            "residual",
            LINEAR,
            SIGMOID,
            {"type": "Dropout"},
            NARROW,
            SIGMOID,
            NARROW,
            SIGMOID,
            LINEAR,
            RELU,
            group,
            OUTPUT,
        )
        first = {"type": "Residual", "layers": [LINEAR, SIGMOID, {"type": "Dropout"}]}
        second = {"type": "Residual", "layers": [NARROW, SIGMOID], "shortcut": [{**NARROW, **ROAD}]}
        third = {"type": "Residual", "layers": [NARROW, SIGMOID]}
        fourth = {"type": "Residual", "layers": [LINEAR, RELU], "shortcut": [{**LINEAR, **ROAD}]}
        last = {"type": "Sequential", "layers": [{"type": "Residual", "layers": [LINEAR, TANH]}, BATCH]}
        assert layers == [first, second, third, fourth, last, OUTPUT]

    def test_convolutions_are_wrapped_before_what_pools(self):
        conv = {"type": "Conv2d", "out_channels": 6, "kernel_size": 3, "padding": 1}
        wide, pool = {**conv, "out_channels": 8, "stride": 2}, {"type": "MaxPool2d", "kernel_size": 2}
        blocks = (conv, RELU, conv, BATCH2, RELU, pool, wide, BATCH2, RELU, {"type": "Flatten"}, OUTPUT)
        layers = layers_fixed("residual", *blocks, data={"type": "digits", "flatten": False})
        projection = [
            {"type": "Conv2d", "out_channels": 8, "kernel_size": 1, "stride": [2, 2], **ROAD},
            BATCH2,
        ]
        assert layers == [
            conv, RELU, {"type": "Residual", "layers": [conv, BATCH2, RELU]}, pool,
            {"type": "Residual", "layers": [wide, BATCH2, RELU], "shortcut": projection},
            {"type": "Flatten"}, OUTPUT,
        ]  # fmt: skip

    def test_what_is_lost_through_time_has_no_road_over_depth(self):
        rnn = {"type": "RNN", "hidden_size": 8}
        images = spec_of({"type": "Flatten", "end_dim": 2}, rnn, rnn, rnn, {"type": "Flatten"}, OUTPUT)
        images["data"] = {"type": "digits", "flatten": False}
        assert fix_of("residual", images) is not None
        through_time = finding("vanishing_gradient", "weights", evidence=[Evidence(signal="time_gain", value=1e-9)])
        assert fix_of("residual", images, through_time) is None

    def test_nested_turns_are_wrapped_innermost(self):
        layers = layers_fixed("residual", repeat(2, LINEAR, RELU, repeat(3, LINEAR, TANH)), OUTPUT)
        inner = repeat(3, {"type": "Residual", "layers": [LINEAR, TANH]})
        assert layers == [repeat(2, {"type": "Residual", "layers": [LINEAR, RELU]}, inner), OUTPUT]

    def test_many_unbounded_blocks_get_a_normalization_each(self):
        deep = layers_fixed("residual", repeat(30, LINEAR, RELU), OUTPUT)
        assert deep == [repeat(30, {"type": "Residual", "layers": [BATCH, LINEAR, RELU]}), BATCH, OUTPUT]
        bounded = layers_fixed("residual", repeat(30, LINEAR, SIGMOID), OUTPUT)
        assert bounded == [repeat(30, {"type": "Residual", "layers": [LINEAR, SIGMOID]}), BATCH, OUTPUT]
        normalized = layers_fixed("residual", repeat(30, LINEAR, BATCH, RELU), OUTPUT)
        assert normalized == [repeat(30, {"type": "Residual", "layers": [LINEAR, BATCH, RELU]}), OUTPUT]

    @pytest.mark.parametrize("layers", [
        (repeat(5, {"type": "Residual", "layers": [LINEAR, SIGMOID]}), OUTPUT),
        (repeat(5, OUTPUT, SIGMOID),),
        (repeat(5, LINEAR), OUTPUT),
        (NARROW, SIGMOID, LINEAR, SIGMOID, OUTPUT),
        (repeat(1, NARROW, SIGMOID), OUTPUT),
    ])  # fmt: skip
    def test_it_is_not_proposed_where_there_is_nothing_to_wrap(self, layers):
        assert fix_of("residual", spec_of(*layers)) is None


class TestSteps:
    def test_adam_replaces_sgd_and_keeps_the_weight_decay(self):
        sgd = {"type": "SGD", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4}
        document = fixed("optimizer", spec_of(OUTPUT, optimizer=sgd))
        assert document["optimizer"] == {"type": "Adam", "lr": 1e-3, "weight_decay": 1e-4}
        assert fix_of("optimizer", spec_of(OUTPUT, optimizer={"type": "Adam"})) is None

    def test_clipping_is_added_with_its_missing_parent(self):
        fix = fix_of("gradient_clipping", spec_of(OUTPUT), EXPLODING)
        assert [operation["path"] for operation in fix.patch] == ["/training", "/training/clip_grad_norm"]
        loose = fixed("gradient_clipping", spec_of(OUTPUT, training={"clip_grad_norm": 50.0}), EXPLODING)
        assert loose["training"] == {"clip_grad_norm": 1.0}
        assert fix_of("gradient_clipping", spec_of(OUTPUT, training={"clip_grad_norm": 0.5}), EXPLODING) is None
        assert fix_of("gradient_clipping", spec_of(OUTPUT)) is None

    @pytest.mark.parametrize(("optimizer", "lr"), [
        ({"type": "SGD", "lr": 0.3}, 0.03), ({"type": "SGD", "lr": 10.0}, 0.1), ({"type": "Adam", "lr": 1.0}, 0.01),
        ({"type": "SGD"}, 1e-4),
    ])  # fmt: skip
    def test_a_tenth_of_the_learning_rate_or_what_is_usual(self, optimizer, lr):
        assert fixed("learning_rate", spec_of(OUTPUT, optimizer=optimizer), EXPLODING)["optimizer"]["lr"] == lr

    @pytest.mark.parametrize(("optimizer", "ratio", "lr"), [
        ({"type": "SGD", "lr": 0.001}, 1e-5, 0.1), ({"type": "SGD", "lr": 1e-6}, None, 0.0316),
        ({"type": "Adam", "lr": 1e-5}, 3e-6, 0.01), ({"type": "SGD", "lr": 0.0}, 0.0, 0.0316),
        ({"type": "SGD", "lr": 0.2}, 1e-9, 2.0), ({"type": "SGD", "lr": 0.5}, 1e-2, 0.05),
        ({"type": "SGD", "lr": 0.5}, None, 0.05),
    ])  # fmt: skip
    def test_weights_that_hardly_move_get_longer_steps(self, optimizer, ratio, lr):
        evidence = [] if ratio is None else [Evidence(signal="update_ratio", value=ratio)]
        still = finding("loss_not_decreasing", evidence=evidence)
        assert fixed("learning_rate", spec_of(OUTPUT, optimizer=optimizer), still)["optimizer"]["lr"] == lr

    def test_no_learning_rate_for_a_vanishing_gradient(self):
        assert fix_of("learning_rate", spec_of(LINEAR, SIGMOID, OUTPUT)) is None
