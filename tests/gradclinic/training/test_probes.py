"""What is measured beside a training: against slow references, and without a trace left."""

import numpy as np
import pytest
import torch

from gradclinic.contract.parse import parse_spec
from gradclinic.training.probes import noise_scale, time_gains
from gradclinic.training.setup import make_setup


def setup_of(layers, data, loss="MSELoss", batch_size=16, steps=400):
    document = {
        "model": {"layers": layers},
        "data": data,
        "loss": {"type": loss},
        "optimizer": {"type": "SGD", "lr": 0.1},
        "training": {"batch_size": batch_size, "steps": steps},
    }
    return make_setup(parse_spec(document), 0)


def test_the_noise_scale_is_that_of_the_batches_gradients():
    setup = setup_of(
        [{"type": "Linear", "out_features": 1}], {"type": "linear_regression", "samples": 320, "noise": 1.0}
    )
    found = noise_scale(setup)

    part, gradients = setup.data.train, []
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(setup.seed))
    for rows in order[:256].reshape(16, 16):
        setup.network.zero_grad()
        setup.criterion(setup.network(part.inputs[rows]), part.targets[rows]).backward()
        gradients.append(np.concatenate([p.grad.double().numpy().ravel() for p in setup.network.parameters()]))
    rows = np.stack(gradients)
    trace = 16 * rows.var(axis=0, ddof=1).sum()
    expected = trace / ((rows.mean(axis=0) ** 2).sum() - trace / 256)
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("seed", range(12))
def test_a_noise_of_tens_of_batches_is_told_within_a_factor_of_four(seed):
    """By the gradients of all rows, one by one: a linear regression's are written down."""
    data = {"type": "linear_regression", "samples": 2000, "noise": 2.0, "seed": seed}
    setup = setup_of([{"type": "Linear", "out_features": 1}], data, batch_size=1, steps=900)
    part = setup.data.train
    x = np.column_stack([part.inputs.double().numpy(), np.ones(len(part))])
    weights = np.concatenate([p.detach().double().numpy().ravel() for p in setup.network.parameters()])
    rows = 2 * (x @ weights - part.targets.double().numpy()[:, 0])[:, None] * x
    trace = rows.var(axis=0, ddof=1).sum()
    expected = trace / ((rows.mean(axis=0) ** 2).sum() - trace / len(rows))
    assert expected > 10
    assert 0.25 < noise_scale(setup) / expected < 4


def test_the_gain_through_time_is_that_of_the_inputs_gradient():
    layers = [{"type": "RNN", "hidden_size": 8, "output": "last"}, {"type": "Linear", "out_features": 1}]
    setup = setup_of(layers, {"type": "adding_problem", "length": 12, "samples": 100})
    gains = time_gains(setup)

    x = setup.data.train.inputs[:16].clone().requires_grad_()
    setup.criterion(setup.network(x), setup.data.train.targets[:16]).backward()
    norms = x.grad.double().norm(dim=(0, 2))
    assert gains == {"layers.0": pytest.approx(float(norms[0] / norms[-1]), rel=1e-5)}
    assert 0 < gains["layers.0"] < 1


def test_probes_leave_network_buffers_and_generators_as_they_were():
    layers = [
        {"type": "Linear", "out_features": 8}, {"type": "BatchNorm1d"}, {"type": "Dropout"},
        {"type": "Linear", "out_features": 10},
    ]  # fmt: skip
    setup = setup_of(layers, {"type": "digits"}, "CrossEntropyLoss")
    before = {name: value.clone() for name, value in setup.network.state_dict().items()}
    state = torch.get_rng_state()
    assert noise_scale(setup) is not None
    assert time_gains(setup) == {}
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in setup.network.state_dict().items())
    assert all(p.grad is None for p in setup.network.parameters())


def test_too_few_rows_show_no_noise():
    setup = setup_of(
        [{"type": "Linear", "out_features": 1}], {"type": "linear_regression", "samples": 30}, batch_size=16
    )
    assert noise_scale(setup) is None
