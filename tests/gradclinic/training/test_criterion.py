"""The trivial predictor: no constant does better on the data it was taken from."""

import pytest
import torch

from gradclinic.contract.parse import parse_spec
from gradclinic.training.criterion import Criterion, trivial_output
from gradclinic.training.metrics import accuracy, mae, r2


def criterion(name):
    spec = parse_spec(
        {
            "model": {"layers": [{"type": "Tanh"}]},
            "data": {"type": "iris"},
            "loss": {"type": name},
            "optimizer": {"type": "SGD"},
        }
    )
    return Criterion(spec.loss)


VALUES = ("MSELoss", "L1Loss", "PoissonNLLLoss")


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "BCEWithLogitsLoss", "BCELoss", *VALUES])
def test_no_constant_output_beats_the_trivial_one(name):
    generator = torch.Generator().manual_seed(0)
    width = 3 if name == "CrossEntropyLoss" else 1
    drawn = torch.rand(101, generator=generator)
    targets = (3 * drawn).exp()[:, None] if name in VALUES else (drawn**2 * max(2, width)).long()
    judge = criterion(name)
    best = trivial_output(judge, targets, (width,))
    loss = float(judge(best.expand(len(targets), width), targets))
    for _ in range(50):
        other = best + 0.3 * torch.randn(width, generator=generator)
        if name == "BCELoss":
            other = other.clamp(0.01, 0.99)
        assert float(judge(other.expand(len(targets), width), targets)) >= loss - 1e-6


def test_a_class_that_never_occurs_leaves_the_trivial_output_finite():
    targets = torch.tensor([0, 0, 2, 2])
    assert torch.isfinite(trivial_output(criterion("CrossEntropyLoss"), targets, (6,))).all()


def test_the_trivial_answer_to_a_sequence_may_differ_from_step_to_step():
    targets = torch.tensor([[0, 1, 2], [0, 1, 1]])
    best = trivial_output(criterion("CrossEntropyLoss"), targets, (3, 3))
    assert best.argmax(dim=-1).tolist()[:2] == [0, 1]


def test_metrics_by_hand():
    scores = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
    assert accuracy(scores, torch.tensor([0, 1, 1])) == pytest.approx(2 / 3)
    assert accuracy(torch.tensor([[0.4], [0.6]]), torch.tensor([0, 0])) == 0.5
    assert mae(torch.tensor([[1.0], [3.0]]), torch.tensor([[2.0], [5.0]])) == 1.5
    assert r2(torch.tensor([[1.0], [3.0]]), torch.tensor([[1.0], [3.0]])) == 1.0
    assert r2(torch.tensor([[2.0], [2.0]]), torch.tensor([[1.0], [3.0]])) == 0.0


def test_a_logit_is_cut_at_zero_and_a_probability_at_a_half():
    outputs, targets = torch.tensor([[-0.1], [0.1], [0.4]]), torch.tensor([0, 1, 1])
    assert accuracy(criterion("BCEWithLogitsLoss").answers(outputs), targets) == 1.0
    assert accuracy(criterion("MSELoss").answers(outputs), targets) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("loss", "targets", "width"),
    [
        ({"type": "BCEWithLogitsLoss", "pos_weight": 19.0}, (torch.arange(100) < 5).long(), 1),
        ({"type": "CrossEntropyLoss", "weight": [1.0, 19.0]}, (torch.arange(100) < 5).long(), 2),
        ({"type": "CrossEntropyLoss", "label_smoothing": 0.2}, torch.arange(100) // 40, 3),
        ({"type": "CrossEntropyLoss", "ignore_index": 2}, torch.arange(100) // 40, 3),
        ({"type": "HuberLoss", "delta": 0.5}, torch.linspace(0, 3, 100)[:, None].exp(), 1),
        ({"type": "CrossEntropyLoss", "weight": [1.0, 9.0], "reduction": "sum"}, (torch.arange(100) < 5).long(), 2),
    ],
)
def test_what_a_loss_weighs_the_trivial_predictor_weighs_too(loss, targets, width):
    spec = {
        "model": {"layers": [{"type": "Tanh"}]},
        "data": {"type": "iris"},
        "loss": loss,
        "optimizer": {"type": "SGD"},
    }
    judge = Criterion(parse_spec(spec).loss)
    best = trivial_output(judge, targets, (width,))
    generator = torch.Generator().manual_seed(0)

    def cost(constant):
        return float(judge(constant.expand(len(targets), width), targets))

    for size in (0.01, 0.1, 1.0):
        for _ in range(30):
            assert cost(best + size * torch.randn(width, generator=generator)) >= cost(best) * (1 - 1e-5)


def test_answers_are_in_the_targets_own_terms():
    counts = torch.tensor([[1.0], [4.0], [9.0]])
    assert r2(criterion("PoissonNLLLoss").answers(counts.log()), counts) == pytest.approx(1.0)
    shares = torch.tensor([[0.2, 0.8], [0.6, 0.4]])
    assert r2(criterion("KLDivLoss").answers(shares.log()), shares) == pytest.approx(1.0)
