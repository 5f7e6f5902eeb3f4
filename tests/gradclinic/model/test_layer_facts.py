"""The facts about a network's layers that a recorder attaches by and a diagnosis reads."""

from __future__ import annotations

from gradclinic.model import build_model, layer_facts


def linear(size, **keywords):
    return {"type": "Linear", "out_features": size, **keywords}


def test_lists_what_computes_in_forward_order(spec_of):
    layers = [
        linear(4),
        {"type": "Sequential", "name": "stem", "layers": [{"type": "ReLU"}]},
        {
            "type": "Repeat",
            "times": 2,
            "layers": [{"type": "Residual", "layers": [linear(4), {"type": "Tanh"}], "shortcut": [linear(4)]}],
        },
        {"type": "BatchNorm1d", "affine": False},
        linear(10, bias=False, name="head"),
    ]
    network = build_model(spec_of(layers).model, (64,), seed=0)
    facts = layer_facts(network)
    assert [(fact.name, fact.type, fact.on_trunk) for fact in facts] == [
        ("layers.0", "Linear", True),
        ("layers.stem.layers.0", "ReLU", True),
        ("layers.2[0].layers.0.layers.0", "Linear", False),
        ("layers.2[0].layers.0.layers.1", "Tanh", False),
        ("layers.2[0].layers.0.shortcut.0", "Linear", False),
        ("layers.2[0].layers.0", "Residual", True),
        ("layers.2[1].layers.0.layers.0", "Linear", False),
        ("layers.2[1].layers.0.layers.1", "Tanh", False),
        ("layers.2[1].layers.0.shortcut.0", "Linear", False),
        ("layers.2[1].layers.0", "Residual", True),
        ("layers.3", "BatchNorm1d", True),
        ("layers.head", "Linear", True),
    ]
    assert facts[0].parameters == ["layers.0.weight", "layers.0.bias"]
    assert facts[0].weight_shape == [4, 64]
    assert facts[5].parameters == []
    assert facts[5].weight_shape is None
    assert facts[-1].parameters == ["layers.head.weight"]
    assert [name for fact in facts for name in fact.parameters] == [name for name, _ in network.named_parameters()]
    assert {fact.name for fact in facts} <= set(dict(network.named_modules()))


def test_a_residual_in_a_residual_is_not_on_the_trunk(spec_of):
    inner = {"type": "Residual", "layers": [linear(64)]}
    network = build_model(spec_of([{"type": "Residual", "layers": [inner]}, linear(10)]).model, (64,), seed=0)
    trunk = {fact.name for fact in layer_facts(network) if fact.on_trunk}
    assert trunk == {"layers.0", "layers.1"}


def test_blocks_and_branches_are_listed_before_what_joins_them(spec_of):
    layers = [
        {"type": "Flatten", "start_dim": 1, "end_dim": 2},
        {"type": "Dense", "times": 2, "dim": 2, "layers": [linear(4), {"type": "ReLU"}]},
        {
            "type": "Parallel",
            "merge": "concat",
            "branches": [
                [{"type": "LSTM", "hidden_size": 3, "output": "last"}],
                [{"type": "TransformerEncoderLayer", "nhead": 2}, {"type": "Mean", "dim": 1, "name": "mean"}],
            ],
        },
        linear(10),
    ]
    network = build_model(spec_of(layers).model, (1, 8, 8), seed=0)
    facts = layer_facts(network)
    assert [(fact.name, fact.type, fact.on_trunk) for fact in facts] == [
        ("layers.0", "Flatten", True),
        ("layers.1[0].layers.0", "Linear", False),
        ("layers.1[0].layers.1", "ReLU", False),
        ("layers.1[0]", "Dense", True),
        ("layers.1[1].layers.0", "Linear", False),
        ("layers.1[1].layers.1", "ReLU", False),
        ("layers.1[1]", "Dense", True),
        ("layers.2.branches.0.0", "LSTM", False),
        ("layers.2.branches.1.0", "TransformerEncoderLayer", False),
        ("layers.2.branches.1.mean", "Mean", False),
        ("layers.2", "Parallel", True),
        ("layers.3", "Linear", True),
    ]
    assert facts[7].parameters[0] == "layers.2.branches.0.0.weight_ih_l0"
    assert "layers.2.branches.1.0.self_attn.in_proj_weight" in facts[8].parameters
    assert [name for fact in facts for name in fact.parameters] == [name for name, _ in network.named_parameters()]
    assert {fact.name for fact in facts} <= set(dict(network.named_modules()))
