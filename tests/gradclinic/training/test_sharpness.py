"""The sharpness against the whole Hessian, formed and taken apart in float64."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call

from gradclinic.training.raised import RaisedByTorch
from gradclinic.training.sharpness import largest_eigenvalue


def eigenvalues(network, loss_of):
    """Return all eigenvalues of the Hessian, smallest first."""
    named = dict(network.named_parameters())
    shapes = {name: p.shape for name, p in named.items()}

    def loss(flat):
        pieces = torch.split(flat, [shape.numel() for shape in shapes.values()])
        parameters = {name: piece.reshape(shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)}
        return loss_of(lambda x: functional_call(network, parameters, (x,)))

    flat = torch.cat([p.detach().reshape(-1) for p in named.values()])
    return torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat))


def search(network, loss_of, **more):
    generator = torch.Generator().manual_seed(0)
    return largest_eigenvalue(lambda: loss_of(network), list(network.parameters()), generator, **more)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(0, 4, (40,), generator=generator)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, nn.Sigmoid])
@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.MSELoss()], ids=["cross-entropy", "squared"])
def test_it_is_the_largest_eigenvalue_of_the_hessian(batch, activation, loss):
    inputs, classes = batch
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = nn.Sequential(nn.Linear(3, 6), activation(), nn.Linear(6, 4)).double()
    targets = classes if isinstance(loss, nn.CrossEntropyLoss) else nn.functional.one_hot(classes, 4).double()

    def loss_of(network):
        return loss(network(inputs), targets)

    largest = float(eigenvalues(network, loss_of)[-1])
    assert search(network, loss_of) == pytest.approx(largest, rel=0.05)
    assert search(network, loss_of, tolerance=1e-9, most_products=200) == pytest.approx(largest, rel=1e-8)


class Bowl(nn.Module):
    """A quadratic loss whose eigenvalues are known."""

    def __init__(self, *curvatures):
        super().__init__()
        self.curvatures = torch.tensor(curvatures, dtype=torch.float64)
        self.at = nn.Parameter(torch.ones(len(curvatures), dtype=torch.float64))

    def forward(self):
        return (self.curvatures * self.at**2).sum() / 2


@pytest.mark.parametrize(
    ("curvatures", "largest"),
    [
        ((-10.0, 3.0, 1.0, 0.0), 3.0),
        ((-10.0, 9.99, 1.0), 9.99),
        ((-2.0, -1.0), -1.0),
        ((5.0, 5.0, 5.0), 5.0),
        ((0.0, 0.0), 0.0),
        ((1e-6, 1e-7), 1e-6),
    ],
)
def test_a_curvature_that_is_negative_and_larger_does_not_hide_it(curvatures, largest):
    network = Bowl(*curvatures)
    found = search(network, lambda bowl: bowl(), tolerance=1e-9)
    assert found == pytest.approx(largest, rel=1e-6, abs=1e-12)


def test_it_stops_at_the_tolerance():
    products = []
    network = Bowl(100.0, *[1.0 / place for place in range(1, 100)])
    found = search(network, lambda bowl: bowl(), between=lambda: products.append(1))
    assert found == pytest.approx(100.0, rel=0.05)
    assert len(products) < 10


def test_a_loss_that_is_flat_or_straight_has_none():
    network = nn.Linear(3, 1)
    inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    assert search(network, lambda network: network(inputs).sum()) == 0.0
    assert search(network, lambda network: network(inputs).abs().mean()) == 0.0


def test_a_hessian_that_is_not_finite_is_none():
    assert math.isnan(search(Bowl(math.inf, 1.0), lambda bowl: bowl()))


def test_what_cannot_be_differentiated_twice_says_so():
    with pytest.raises(RaisedByTorch, match="_cdist_backward"):
        search(
            Bowl(1.0, 2.0), lambda bowl: torch.cdist(bowl.at[:, None], torch.zeros(3, 1).double(), p=1.5).square().sum()
        )


def test_an_attention_can():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
    inputs = torch.randn(4, 5, 8, generator=torch.Generator().manual_seed(0))
    assert search(network, lambda network: network(inputs).square().mean()) > 0


def test_what_is_called_between_products_ends_it():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(Bowl(1.0, 2.0), lambda bowl: bowl(), between=stop)
