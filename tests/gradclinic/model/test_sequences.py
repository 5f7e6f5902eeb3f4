"""Layers over sequences: what they compute, what they cost by formula, and tokens on their way to an Embedding."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
import torch
from torch import nn

from gradclinic.contract.limits import Limits
from gradclinic.contract.parse import parse_document
from gradclinic.contract.spec import Model
from gradclinic.model import build_model, layer_facts, resolve_spec, takes_tokens
from gradclinic.model.measure import _FlopCount
from gradclinic.model.resolver import Resolver
from gradclinic.model.sample import Sample

ADDING = {"data": {"type": "adding_problem", "length": 50}, "loss": {"type": "MSELoss"}}
COPYING = {"data": {"type": "copy_memory", "length": 5}}
EMBEDDING = {"type": "Embedding", "num_embeddings": 10, "embedding_dim": 4}


def linear(size: int) -> dict[str, Any]:
    return {"type": "Linear", "out_features": size}


def model(*layers: dict[str, Any], **keywords: Any) -> Model:
    return parse_document(Model, {"layers": list(layers)} | keywords)


def build(
    *layers: dict[str, Any], shape: tuple[int, ...] = (7, 4), integers: bool = False, **keywords: Any
) -> nn.Module:
    return build_model(model(*layers, **keywords), shape, seed=0, integers=integers)


class TestRecurrent:
    @pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
    @pytest.mark.parametrize("bidirectional", [False, True])
    def test_computes_what_pytorch_computes(self, kind, bidirectional):
        keywords = {"hidden_size": 3, "num_layers": 2, "bidirectional": bidirectional}
        x = torch.linspace(-1, 1, 2 * 7 * 4).reshape(2, 7, 4)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            reference = getattr(nn, kind)(4, batch_first=True, **keywords)
        y, state = reference(x)
        sequence, last = (build({"type": kind, "output": which, **keywords}) for which in ("sequence", "last"))
        names = [f"layers.0.{name}" for name, _ in reference.named_parameters()]
        assert [name for name, _ in sequence.named_parameters()] == names
        assert torch.equal(sequence(x), y)
        hidden = state[0] if kind == "LSTM" else state  # (layers * directions, N, H)
        expected = torch.cat([hidden[-2], hidden[-1]], dim=-1) if bidirectional else hidden[-1]
        torch.testing.assert_close(last(x), expected)

    @pytest.mark.parametrize(
        "layer",
        [
            {"type": "RNN", "hidden_size": 5, "num_layers": 2},
            {"type": "GRU", "hidden_size": 5, "bidirectional": True, "num_layers": 2},
            {"type": "LSTM", "hidden_size": 5, "output": "last"},
            {"type": "LSTM", "hidden_size": 5, "proj_size": 2, "num_layers": 3, "bidirectional": True},
        ],
    )
    def test_the_formula_counts_what_pytorch_does(self, layer):
        (entry,) = Resolver(model(layer), 3).resolve(Sample((7, 4))).entries.values()
        network = build(layer).to("meta")  # there, the steps are products of matrices one by one
        with torch.no_grad(), _FlopCount() as count:
            network(torch.zeros(3, 7, 4, device="meta"))
        assert entry.flops == count.flops

    def test_init_sets_recurrent_weights_and_all_biases(self):
        init = {"weight": {"type": "constant_", "val": 0.5}, "bias": {"type": "constant_", "val": 0.25}}
        own = {"weight": {"type": "orthogonal_"}}
        network = build(
            {"type": "LSTM", "hidden_size": 4, "proj_size": 3},
            {"type": "GRU", "hidden_size": 4, "init": own},
            {"type": "MultiheadAttention", "num_heads": 2, "add_bias_kv": True},
            {"type": "TransformerEncoderLayer", "nhead": 2, "dim_feedforward": 3},
            init=init,
        )
        values = {name: parameter.detach() for name, parameter in network.named_parameters()}
        for name in (
            "layers.0.weight_ih_l0",
            "layers.0.weight_hh_l0",
            "layers.0.weight_hr_l0",
            "layers.2.in_proj_weight",
        ):
            assert values[name].eq(0.5).all()
        for name in ("layers.3.self_attn.in_proj_weight", "layers.3.linear1.weight", "layers.2.out_proj.weight"):
            assert values[name].eq(0.5).all()
        for name in ("layers.0.bias_ih_l0", "layers.0.bias_hh_l0", "layers.2.in_proj_bias", "layers.3.norm1.bias"):
            assert values[name].eq(0.25).all()
        assert values["layers.3.norm1.weight"].eq(1).all()
        turned = values["layers.1.weight_hh_l0"]  # (12, 4) of orthogonal columns
        torch.testing.assert_close(turned.T @ turned, torch.eye(4))
        assert values["layers.1.bias_ih_l0"].ne(0.25).all()

    def test_many_steps_resolve_at_once(self, spec_of):
        lstm = {"type": "LSTM", "hidden_size": 128, "num_layers": 2, "output": "last"}
        spec = spec_of([lstm, linear(1)], data={"type": "adding_problem", "length": 784}, loss={"type": "MSELoss"})
        start = time.perf_counter()
        resolved = resolve_spec(spec, Limits(max_flops=1e18, max_seconds=1e9))
        assert time.perf_counter() - start < 0.5
        assert resolved.output_shape == [1]

    def test_steps_are_limited(self, faults_of):
        data = {"type": "adding_problem", "length": 101, "samples": 10}
        gru = {"type": "GRU", "hidden_size": 2, "output": "last"}
        faults = faults_of([gru, linear(1)], Limits(max_sequence=100), data=data, loss={"type": "MSELoss"})
        assert list(faults) == ["/model/layers/0"]
        assert "101 steps; the limit here is 100" in faults["/model/layers/0"].detail
        assert faults_of([gru, linear(1)], Limits(max_sequence=101), data=data, loss={"type": "MSELoss"}) == {}

    def test_a_vector_is_no_sequence(self, faults_of):
        faults = faults_of([{"type": "RNN", "hidden_size": 3}, linear(10)])
        assert "[N, 64], and this layer takes [N, length, features]" in faults["/model/layers/0"].detail


class TestAttention:
    def test_attends_to_itself(self):
        network = build({"type": "MultiheadAttention", "num_heads": 2})
        attention: Any = dict(network.named_modules())["layers.0"]
        x = torch.linspace(-1, 1, 2 * 7 * 4).reshape(2, 7, 4)
        torch.testing.assert_close(network(x), nn.MultiheadAttention.forward(attention, x, x, x)[0])

    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize("norm_first", [True, False])
    def test_an_encoder_layer_gives_the_same_in_evaluation_with_hooks_and_without(self, norm_first, bias):
        keywords = {"nhead": 2, "dim_feedforward": 8, "dropout": 0.0, "norm_first": norm_first, "bias": bias}
        network = build({"type": "TransformerEncoderLayer", **keywords})
        x = torch.linspace(-1, 1, 2 * 7 * 4).reshape(2, 7, 4)
        trained = network(x)
        network.eval()
        with torch.no_grad():
            fast = network(x)
            seen: list[torch.Size] = []
            for fact in layer_facts(network):
                module = dict(network.named_modules())[fact.name]
                module.register_forward_hook(lambda _m, _i, output: seen.append(output.shape))
            watched = network(x)
        assert seen == [x.shape]
        torch.testing.assert_close(trained, fast)
        torch.testing.assert_close(trained, watched)

    @pytest.mark.parametrize(
        "layer",
        [
            {"type": "MultiheadAttention", "num_heads": 2, "add_zero_attn": True},
            {"type": "TransformerEncoderLayer", "nhead": 2, "dim_feedforward": 6, "dropout": 0.0},
        ],
    )
    def test_the_formula_counts_what_pytorch_does(self, layer):
        (entry,) = Resolver(model(layer), 3).resolve(Sample((7, 4))).entries.values()
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), torch.no_grad(), _FlopCount() as count:
            build(layer)(torch.zeros(3, 7, 4))
        assert entry.flops == count.flops

    @pytest.mark.parametrize(
        ("kind", "key"), [("MultiheadAttention", "num_heads"), ("TransformerEncoderLayer", "nhead")]
    )
    def test_heads_divide_the_features(self, faults_of, kind, key):
        faults = faults_of([linear(6), {"type": kind, key: 4}, {"type": "Mean", "dim": 1}, linear(1)], **ADDING)
        assert list(faults) == [f"/model/layers/1/{key}"]
        assert (
            f"{key} is 4, which does not divide the features of the input, 6" in faults[f"/model/layers/1/{key}"].detail
        )


class TestPositionalEncoding:
    @pytest.mark.parametrize("features", [4, 5, 1])
    def test_adds_the_sinusoids_of_the_paper(self, features):
        network = build({"type": "PositionalEncoding"}, shape=(6, features))
        table = network(torch.zeros(2, 6, features))[1]
        for step in range(6):
            for feature in range(features):
                angle = step / 10_000 ** (2 * (feature // 2) / features)
                wave = math.cos(angle) if feature % 2 else math.sin(angle)
                assert table[step, feature].item() == pytest.approx(wave, abs=1e-5)
        assert network.state_dict() == {}


class TestTokens:
    def test_tokens_come_to_an_embedding_as_integers(self, spec_of):
        layers = [{"type": "Identity"}, EMBEDDING, {"type": "GRU", "hidden_size": 8}, linear(10)]
        resolved = resolve_spec(spec_of(layers, **COPYING))
        assert [layer.output_shape for layer in resolved.layers] == [[25], [25, 4], [25, 8], [25, 10]]
        network = build(*layers, shape=(25,), integers=True)
        assert network(torch.zeros(3, 25, dtype=torch.int64)).shape == (3, 25, 10)

    @pytest.mark.parametrize(
        ("layers", "takes"),
        [
            ([EMBEDDING], True),
            ([{"type": "Select", "dim": 1}, {"type": "Repeat", "times": 1, "layers": [EMBEDDING]}], True),
            ([{"type": "Parallel", "merge": "sum", "branches": [[linear(1)], [EMBEDDING]]}], True),
            ([{"type": "Residual", "layers": [EMBEDDING], "shortcut": [EMBEDDING]}], True),
            ([linear(3), EMBEDDING], False),
            ([{"type": "Flatten"}], False),
        ],
    )
    def test_whether_the_first_layer_that_computes_is_an_embedding(self, layers, takes):
        assert takes_tokens(model(*layers)) is takes

    def test_integers_that_meet_no_embedding_are_numbers(self, faults_of):
        layers = [linear(250), {"type": "Unflatten", "dim": 1, "unflattened_size": [25, 10]}]
        assert faults_of(layers, **COPYING) == {}

    def test_numbers_are_no_tokens(self, faults_of):
        assert "takes tokens" in faults_of([EMBEDDING, linear(10)])["/model/layers/0"].detail
        assert "takes tokens" in faults_of([linear(3), EMBEDDING], **COPYING)["/model/layers/1"].detail

    def test_tokens_are_no_numbers(self, faults_of):
        branches = {"type": "Parallel", "merge": "concat", "branches": [[EMBEDDING], [linear(4)]]}
        faults = faults_of([branches, linear(10)], **COPYING)
        assert "is tokens" in faults["/model/layers/0/branches/1/0"].detail

    def test_tokens_are_not_added_to_their_vectors(self, faults_of):
        data = {"type": "inline", "x": [[1], [2], [3]], "y": [0, 1, 0]}
        embedding = {"type": "Embedding", "num_embeddings": 9, "embedding_dim": 1}
        residual = {"type": "Residual", "layers": [embedding, {"type": "Flatten"}]}
        faults = faults_of([residual, linear(2)], data=data)
        assert "tokens and numbers cannot be joined" in faults["/model/layers/0/shortcut"].detail

    def test_every_token_needs_a_vector(self, faults_of):
        few = EMBEDDING | {"num_embeddings": 9}
        faults = faults_of([few, linear(10)], **COPYING)
        assert list(faults) == ["/model/layers/0/num_embeddings"]
        assert "too few for the 10 tokens of copy_memory" in faults["/model/layers/0/num_embeddings"].detail

    def test_a_padding_token_is_one_of_them(self, faults_of):
        faults = faults_of([EMBEDDING | {"padding_idx": 10}, linear(10)], **COPYING)
        assert list(faults) == ["/model/layers/0/padding_idx"]


class TestReductions:
    def test_take_a_dimension_away(self):
        x = torch.linspace(-1, 1, 2 * 7 * 4).reshape(2, 7, 4)
        assert torch.equal(build({"type": "Mean", "dim": 1})(x), x.mean(1))
        assert torch.equal(build({"type": "Max", "dim": -1, "keepdim": True})(x), x.max(-1, keepdim=True).values)
        assert torch.equal(build({"type": "Select", "dim": 1})(x), x[:, -1])

    @pytest.mark.parametrize("kind", ["Mean", "Max", "Select", "Softmax", "LogSoftmax", "GLU"])
    @pytest.mark.parametrize("dim", [0, -3, 3, -4])
    def test_never_the_batch_nor_what_is_not_there(self, faults_of, kind, dim):
        faults = faults_of([{"type": kind, "dim": dim}, {"type": "Flatten"}, linear(1)], **ADDING)
        assert "/model/layers/0/dim" in faults

    def test_an_element_that_is_not_there(self, faults_of):
        faults = faults_of([{"type": "Select", "dim": 1, "index": 50}, linear(1)], **ADDING)
        assert list(faults) == ["/model/layers/0/index"]
