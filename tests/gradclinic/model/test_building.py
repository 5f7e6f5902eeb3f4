"""Networks from specs: names, initialization, determinism, and the values that they compute."""

from __future__ import annotations

import copy
from typing import Any, get_args

import pytest
import torch
from torch import nn

from gradclinic.contract.activations import AnyActivation
from gradclinic.contract.parse import parse_document
from gradclinic.contract.spec import Model
from gradclinic.errors import InvalidSpec
from gradclinic.model import build_model

KEYWORDS: dict[str, dict[str, float]] = {"Threshold": {"threshold": 0.1, "value": 20.0}}
"""The keywords that have no default in PyTorch either."""


def build(layers: list[dict[str, Any]], shape: tuple[int, ...] = (6,), seed: int = 0, **model: Any) -> nn.Module:
    return build_model(parse_document(Model, {"layers": layers} | model), shape, seed=seed)


def linear(size: int, **keywords: Any) -> dict[str, Any]:
    return {"type": "Linear", "out_features": size, **keywords}


NESTED = [
    linear(4),
    {"type": "ReLU", "name": "act"},
    {"type": "Repeat", "times": 2, "layers": [linear(4), {"type": "Residual", "layers": [linear(4)]}]},
    {
        "type": "Residual",
        "name": "down",
        "layers": [linear(3)],
        "shortcut": [{"type": "Sequential", "layers": [linear(3, name="project")]}],
    },
    {"type": "Repeat", "name": "tail", "times": 1, "layers": [{"type": "BatchNorm1d"}]},
    linear(2, name="head"),
]


class TestNames:
    def test_parameters_are_called_as_the_contract_says(self):
        assert [name for name, _ in build(NESTED).named_parameters() if name.endswith("weight")] == [
            "layers.0.weight",
            "layers.2[0].layers.0.weight",
            "layers.2[0].layers.1.layers.0.weight",
            "layers.2[1].layers.0.weight",
            "layers.2[1].layers.1.layers.0.weight",
            "layers.down.layers.0.weight",
            "layers.down.shortcut.0.layers.project.weight",
            "layers.tail[0].layers.0.weight",
            "layers.head.weight",
        ]

    def test_modules_are_found_by_their_names(self):
        network = build(NESTED)
        modules = dict(network.named_modules())
        assert isinstance(modules["layers.act"], nn.ReLU)
        assert network.get_submodule("layers.2[1].layers.0") is modules["layers.2[1].layers.0"]

    @pytest.mark.parametrize(
        "name", ["forward", "training", "children", "layers", "_modules", "_parameters", "_row", "T_destination"]
    )
    def test_a_layer_may_be_called_like_an_attribute_of_modules(self, name):
        network = build([linear(4, name=name), {"type": "ReLU"}])
        assert isinstance(dict(network.named_modules())[f"layers.{name}"], nn.Linear)
        assert [key for key, _ in network.named_parameters()] == [f"layers.{name}.weight", f"layers.{name}.bias"]
        network.eval()
        assert not any(module.training for module in network.modules())
        network.train()
        assert all(module.training for module in network.modules())
        assert network(torch.ones(2, 6)).shape == (2, 4)
        network.load_state_dict(copy.deepcopy(network).state_dict())

    def test_a_copy_computes_with_its_own_layers(self):
        network = build(NESTED).eval()
        other = copy.deepcopy(network)
        for parameter in other.parameters():
            nn.init.zeros_(parameter)
        assert network(torch.ones(2, 6)).abs().sum() > 0
        assert other(torch.ones(2, 6)).abs().sum() == 0


class TestValues:
    def test_a_network_computes_what_its_layers_compute(self):
        network = build(NESTED).eval()
        of = dict(network.named_modules())
        x = torch.linspace(-1, 1, 12).reshape(2, 6)
        y = torch.relu(of["layers.0"](x))
        for turn in (0, 1):
            y = of[f"layers.2[{turn}].layers.0"](y)
            y = y + of[f"layers.2[{turn}].layers.1.layers.0"](y)
        y = of["layers.down.shortcut.0.layers.project"](y) + of["layers.down.layers.0"](y)
        y = of["layers.head"](of["layers.tail[0].layers.0"](y))
        assert torch.equal(network(x), y)

    def test_combinators_join_what_their_layers_give(self):
        network = build(
            [
                {"type": "Dense", "times": 2, "layers": [linear(2)]},
                {"type": "Parallel", "merge": "concat", "branches": [[linear(3)], [{"type": "Tanh"}]]},
                {"type": "Parallel", "merge": "sum", "branches": [[linear(2)], [linear(2)], [linear(2)]]},
            ]
        )
        of = dict(network.named_modules())
        y = x = torch.linspace(-1, 1, 12).reshape(2, 6)
        for turn in (0, 1):
            y = torch.cat([y, of[f"layers.0[{turn}].layers.0"](y)], dim=1)
        y = torch.cat([of["layers.1.branches.0.0"](y), torch.tanh(y)], dim=1)
        y = sum(of[f"layers.2.branches.{index}.0"](y) for index in range(3))
        assert torch.equal(network(x), y)

    @pytest.mark.parametrize(
        "layer",
        [
            {"type": "Residual", "layers": [{"type": "ReLU", "inplace": True}]},
            {"type": "Residual", "layers": [{"type": "Identity"}], "shortcut": [{"type": "ReLU", "inplace": True}]},
            {
                "type": "Parallel",
                "merge": "sum",
                "branches": [[{"type": "ReLU", "inplace": True}], [{"type": "Identity"}]],
            },
            {
                "type": "Parallel",
                "merge": "sum",
                "branches": [[{"type": "Identity"}], [{"type": "ReLU", "inplace": True}]],
            },
        ],
    )
    def test_a_layer_that_works_in_place_does_not_change_what_is_joined(self, layer):
        x = torch.linspace(-1, 1, 12).reshape(2, 6)
        assert torch.equal(build([layer])(x), x + torch.relu(x))

    def test_layers_that_work_in_place_leave_the_data_alone(self):
        network = build([{"type": "Residual", "layers": [{"type": "ReLU", "inplace": True}]}, linear(1)])
        x = -torch.ones(2, 6)
        network(x)
        assert x.eq(-1).all()

    def test_turns_have_parameters_of_their_own(self):
        network = build([{"type": "Repeat", "times": 2, "layers": [linear(6)]}])
        first, second = (parameter for name, parameter in network.named_parameters() if name.endswith("weight"))
        assert not torch.equal(first, second)

    @pytest.mark.parametrize("activation", get_args(AnyActivation), ids=lambda spec: spec.__name__)
    def test_every_activation_is_that_of_pytorch(self, activation):
        kind = activation.__name__
        keywords = KEYWORDS.get(kind, {})
        network = build([{"type": kind, **keywords}, linear(1)]).eval()
        x = torch.linspace(-3, 3, 12).reshape(2, 6)
        expected = torch.exp(x) if kind == "Exp" else getattr(nn, kind)(**keywords).eval()(x)
        assert torch.equal(dict(network.named_modules())["layers.0"](x), expected)

    def test_every_activation_but_exp_is_one_of_pytorch(self):
        ours = {spec.__name__ for spec in get_args(AnyActivation)} - {"Exp"}
        assert all(issubclass(getattr(nn, kind), nn.Module) for kind in ours)
        others = {"GLU", "MultiheadAttention", "Softmax", "Softmax2d", "LogSoftmax", "Softmin"}  # these mix elements
        assert ours == set(nn.modules.activation.__all__) - others

    def test_a_model_that_does_not_fit_is_refused(self):
        with pytest.raises(InvalidSpec, match="in_features is 5"):
            build([linear(4, in_features=5)])


class TestInitialization:
    def test_sets_weights_and_biases_and_leaves_scales(self):
        init = {"weight": {"type": "constant_", "val": 2.0}, "bias": {"type": "constant_", "val": 3.0}}
        network = build([linear(4), {"type": "BatchNorm1d"}, {"type": "LayerNorm"}, {"type": "PReLU"}], init=init)
        values = {name: set(parameter.flatten().tolist()) for name, parameter in network.named_parameters()}
        assert values == {
            "layers.0.weight": {2.0},
            "layers.0.bias": {3.0},
            "layers.1.weight": {1.0},
            "layers.1.bias": {3.0},
            "layers.2.weight": {1.0},
            "layers.2.bias": {3.0},
            "layers.3.weight": {0.25},
        }

    def test_a_layers_own_init_replaces_the_models(self):
        init = {"weight": {"type": "zeros_"}, "bias": {"type": "zeros_"}}
        network = build([linear(4, init={"weight": {"type": "ones_"}}), linear(4)], init=init)
        first, bias, second, _ = network.parameters()
        assert first.eq(1).all()
        assert bias.ne(0).any()  # replaced as a whole: PyTorch's default
        assert second.eq(0).all()

    def test_prelus_keyword_init_is_its_slope(self):
        (slope, *_) = build([{"type": "PReLU", "init": 0.5}, linear(1)]).parameters()
        assert slope.item() == 0.5

    @pytest.mark.parametrize(
        "function",
        [
            {"type": "uniform_", "a": 5.0, "b": 6.0},
            {"type": "normal_", "std": 0.1},
            {"type": "trunc_normal_"},
            {"type": "eye_"},
            {"type": "xavier_uniform_", "gain": 2.0},
            {"type": "xavier_normal_"},
            {"type": "kaiming_uniform_", "nonlinearity": "relu"},
            {"type": "kaiming_normal_", "mode": "fan_out"},
            {"type": "orthogonal_"},
            {"type": "sparse_", "sparsity": 0.5},
        ],
        ids=lambda function: function["type"],
    )
    def test_draws_as_the_function_of_pytorch_does(self, function):
        network = build([linear(4)], seed=7, init={"weight": function})
        keywords = {key: value for key, value in function.items() if key != "type"}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            reference = nn.Linear(6, 4)
            getattr(nn.init, function["type"])(reference.weight, **keywords)
        assert torch.equal(next(network.parameters()), reference.weight)

    def test_frozen_layers_are_not_trained(self):
        network = build([linear(4, frozen=True), {"type": "BatchNorm1d", "frozen": True}, linear(4)])
        trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
        assert trained == {"layers.2.weight", "layers.2.bias"}

    def test_the_same_seed_gives_the_same_network_and_another_seed_another(self):
        first, again, other = (build(NESTED, seed=seed).state_dict() for seed in (3, 3, 4))
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert not torch.equal(first["layers.0.weight"], other["layers.0.weight"])
