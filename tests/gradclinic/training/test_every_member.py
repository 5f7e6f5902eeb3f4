"""Every loss and every optimizer of the contract trains, and beats the trivial predictor."""

import copy
from typing import get_args

import numpy as np
import pytest

from gradclinic.contract.optimizer import Optimizer
from gradclinic.contract.parse import parse_spec
from gradclinic.training import train

NET = [{"type": "Linear", "out_features": 32}, {"type": "Tanh"}]
OPTIMIZERS = [member.__name__ for member in get_args(get_args(Optimizer)[0])]

LOSSES = {
    "CrossEntropyLoss": (3, [], {"type": "wine"}),
    "NLLLoss": (3, ["LogSoftmax"], {"type": "wine"}),
    "BCELoss": (1, ["Sigmoid"], {"type": "breast_cancer"}),
    "BCEWithLogitsLoss": (1, [], {"type": "breast_cancer"}),
    "MSELoss": (1, [], {"type": "diabetes", "normalize_target": True}),
    "L1Loss": (1, [], {"type": "diabetes", "normalize_target": True}),
    "HuberLoss": (1, [], {"type": "diabetes", "normalize_target": True}),
    "SmoothL1Loss": (1, [], {"type": "diabetes", "normalize_target": True}),
    "PoissonNLLLoss": (1, [], {"type": "linear_regression", "coefficients": [1.0] * 10}),
    "KLDivLoss": (3, ["LogSoftmax"], {"type": "wine", "one_hot": True}),
}


def document(loss, outputs, tail, data):
    return {
        "model": {"layers": [*NET, {"type": "Linear", "out_features": outputs}, *({"type": name} for name in tail)]},
        "data": data,
        "loss": {"type": loss},
        "optimizer": {"type": "Adam", "lr": 0.01},
        "training": {"steps": 150, "batch_size": 32},
    }


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns(loss, reduction):
    posted = document(loss, *LOSSES[loss])
    posted["loss"]["reduction"] = reduction
    facts = train(parse_spec(posted)).history.facts
    assert facts.error is None, facts.error
    assert facts.outcome.val_loss < facts.trivial.val_loss
    assert facts.outcome.metric.value > facts.trivial.metric


@pytest.mark.parametrize("loss", ["CrossEntropyLoss", "MSELoss", "BCEWithLogitsLoss"])
def test_one_hot_classes_suit_losses_of_vectors(loss):
    facts = train(parse_spec(document(loss, 3, [], {"type": "wine", "one_hot": True}))).history.facts
    assert facts.error is None, facts.error
    assert facts.outcome.metric.name == "accuracy"
    assert facts.outcome.metric.value > 0.85


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_learns(optimizer):
    posted = document("CrossEntropyLoss", 3, [], {"type": "wine"})
    posted["optimizer"] = {"type": optimizer, "lr": 0.1 if optimizer in ("SGD", "ASGD") else 0.01}
    if optimizer == "Adadelta":
        posted["optimizer"]["lr"] = 1.0
    facts = train(parse_spec(posted)).history.facts
    assert facts.outcome.train_loss < 0.8 * facts.trivial.train_loss


def test_sequences_are_scored_at_each_step():
    posted = {
        "model": {
            "layers": [
                {"type": "Embedding", "num_embeddings": 10, "embedding_dim": 8},
                {"type": "GRU", "hidden_size": 16},
                {"type": "Linear", "out_features": 10},
            ]
        },
        "data": {"type": "copy_memory", "length": 2, "samples": 200},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "Adam", "lr": 0.02},
        "training": {"steps": 60},
    }
    facts = train(parse_spec(posted)).history.facts
    assert facts.error is None, facts.error
    # A predictor that ignores its input knows that the first twelve of 22 answers are blanks.
    assert 0.55 < facts.trivial.metric < 0.7
    assert facts.outcome.metric.value > 0.55


def test_the_same_spec_gives_the_same_history_for_recurrent_nets_and_dropout_alike():
    posted = document("CrossEntropyLoss", 10, [], {"type": "digits", "flatten": False, "limit": 200})
    posted["model"]["layers"] = [
        {"type": "Flatten", "start_dim": 1, "end_dim": 2},
        {"type": "LSTM", "hidden_size": 8, "num_layers": 2, "dropout": 0.3, "output": "last"},
        {"type": "Linear", "out_features": 10},
    ]
    posted["training"] = {"steps": 20}
    first, second = (train(parse_spec(copy.deepcopy(posted))).history for _ in range(2))
    for name, table in first.tables.items():
        assert np.array_equal(table.values, second[name].values, equal_nan=True), name
