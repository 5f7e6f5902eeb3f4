"""The recorder against slow float64 references, and what it must not do: change a training, or stay behind."""

import numpy as np
import pytest
import torch
from torch import nn

from gradclinic.recorder import DENSE_STEPS, Recorder


def network(inplace=False):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=inplace), nn.Linear(8, 5), nn.Sigmoid(), nn.Linear(5, 3))


def loop(model, recorder_of, steps=4, scale=1.0, optimizer=torch.optim.SGD, lr=0.1):
    """Train, and return the recorder and the loss of each step."""
    chosen = optimizer(model.parameters(), lr=lr)
    torch.manual_seed(1)
    losses = []
    with recorder_of(model, chosen) as recorder:
        for _ in range(steps):
            x, y = torch.randn(7, 6), torch.randint(0, 3, (7,))
            chosen.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y) * scale
            loss.backward()
            chosen.step()
            recorder.step(loss)
            losses.append(loss.item())
    return recorder, losses


class Reference(Recorder):
    """Keeps copies of everything that the real recorder summarises."""

    def __init__(self, model, optimizer):
        super().__init__(model, optimizer)
        self.gradients, self.weights = [], []
        self.model = model
        optimizer.register_step_pre_hook(self.copy)

    def copy(self, *_):
        self.gradients.append({n: p.grad.clone() for n, p in self.model.named_parameters()})
        self.weights.append({n: p.detach().clone() for n, p in self.model.named_parameters()})


def norm64(tensor):
    return float(np.sqrt(np.sum(tensor.double().numpy() ** 2)))


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_signals_agree_with_a_float64_reference(scale):
    model = network()
    recorder, losses = loop(model, Reference, scale=scale, lr=0.1 / max(scale, 1.0))
    history = recorder.history
    assert history["loss"].series() == pytest.approx(losses, rel=1e-6)
    assert len(recorder.gradients) == len(losses)
    for step, gradients in enumerate(recorder.gradients):
        for name, gradient in gradients.items():
            assert history["grad_norm"].series(name)[step] == pytest.approx(norm64(gradient), rel=1e-6, abs=0)
            before, after = (
                recorder.weights[step][name],
                [*recorder.weights, dict(model.named_parameters())][step + 1][name],
            )
            assert history["weight_norm"].series(name)[step] == pytest.approx(norm64(before), rel=1e-6)
            change = norm64(after.detach().double() - before.double()) / norm64(before)
            assert history["update_ratio"].series(name)[step] == pytest.approx(change, rel=1e-5)
        whole = np.sqrt(sum(norm64(g) ** 2 for g in gradients.values()))
        assert history["grad_norm"].series()[step] == pytest.approx(whole, rel=1e-6, abs=0)


def test_output_gradients_agree_with_autograd():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(7, 6), torch.randint(0, 3, (7,))
    outputs, h = [], x
    for module in model:
        h = module(h)
        h.retain_grad()
        outputs.append(h)
    nn.functional.cross_entropy(h, y).backward()
    optimizer.zero_grad()
    with Recorder(model, optimizer) as recorder:
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        recorder.step(loss)
    recorded = recorder.history["activation_grad_norm"].values[0]
    assert recorded == pytest.approx([norm64(o.grad) for o in outputs], rel=1e-6)


@pytest.mark.parametrize("size", [1e-38, 1e-30, 1e30, 1e38])
def test_norms_are_right_where_squares_leave_float32(size):
    weight = nn.Parameter(torch.zeros(100))
    holder = nn.Module()
    holder.weight = weight
    optimizer = torch.optim.SGD([weight], lr=0.0)
    weight.grad = torch.full((100,), size)
    with Recorder(holder, optimizer, layers=[]) as recorder:
        optimizer.step()
        recorder.step(0.0)
    assert recorder.history["grad_norm"].series("weight")[0] == pytest.approx(float(weight.grad[0]) * 10.0, rel=1e-6)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("inplace", [False, True])
def test_recording_does_not_change_training(optimizer, inplace):
    class Nothing:
        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def step(self, loss):
            pass

    recorded, bare = network(inplace), network(inplace)
    loop(recorded, Recorder, steps=25, optimizer=optimizer)
    loop(bare, Nothing, steps=25, optimizer=optimizer)
    for name, parameter in recorded.state_dict().items():
        assert torch.equal(parameter, bare.state_dict()[name]), name


def test_gradients_are_measured_before_the_clipping_where_the_loop_says_so():
    def norm(early):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        torch.manual_seed(3)
        with Recorder(model, optimizer) as recorder:
            loss = model(torch.randn(7, 6)).square().sum() * 100
            loss.backward()
            if early:
                recorder.measure()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            recorder.step(loss)
        return recorder.history["grad_norm"].series()[0]

    assert norm(early=True) > 10
    assert norm(early=False) == pytest.approx(1.0, rel=1e-4)


def test_nan_and_infinity_are_counted():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer) as recorder:
        model(torch.randn(7, 6)).sum().backward()
        model[0].weight.grad[0, :3] = float("nan")
        model[0].weight.grad[1, 0] = float("inf")
        optimizer.step()
        recorder.step(float("nan"))
    table = recorder.history["grad_nonfinite"]
    assert table.series("0.weight")[0] == 4
    assert table.series("2.weight")[0] == 0
    assert np.isnan(recorder.history["grad_norm"].series("0.weight")[0])
    assert np.isnan(recorder.history["loss"].series()[0])


def test_gradients_of_several_backward_passes_add_up():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer) as recorder:
        for _ in range(3):
            model(torch.ones(1, 6)).sum().backward()
        optimizer.step()
        recorder.step(0.0)
    history = recorder.history
    # Three equal outputs are one vector of three times the elements.
    assert history["activation_grad_norm"].series("4")[0] == pytest.approx(np.sqrt(9.0), rel=1e-6)
    assert history["loss"].steps.tolist() == [0]


def test_frozen_parameters_are_left_out_and_missing_gradients_are_zero():
    model = network()
    model[0].weight.requires_grad_(False)
    unused = nn.Linear(2, 2)
    model.append(nn.Identity())
    model.unused = unused
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    with Recorder(model, optimizer, layers=[]) as recorder:
        nn.Sequential(*list(model)[:5])(torch.randn(2, 6)).sum().backward()
        optimizer.step()
        recorder.step(0.0)
    table = recorder.history["grad_norm"]
    assert "0.weight" not in table.subjects
    assert table.series("unused.weight")[0] == 0.0


def test_no_hook_stays_behind_after_an_exception():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = Recorder(model, optimizer)

    def broken_loop():
        with recorder:
            model(torch.randn(2, 6)).sum().backward()
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        broken_loop()
    assert not any(module._forward_hooks for module in model.modules())
    assert not optimizer._optimizer_step_pre_hooks


def test_a_layer_that_the_model_lacks_is_refused():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    stranger = Recorder(model, optimizer).facts.layers[0].model_copy(update={"name": "stranger"})
    with pytest.raises(KeyError, match="stranger"):
        Recorder(model, optimizer, layers=[stranger])


def test_schedules_follow_from_the_step_alone():
    recorder, _ = loop(
        network(), lambda m, o: Recorder(m, o, every=4, signals={"update_ratio": 0, "weight_norm": 7}), steps=30
    )
    history = recorder.history
    dense = list(range(DENSE_STEPS))
    # Four times as rare as asked for: the tensors are small.
    assert history["grad_norm"].steps.tolist() == [*dense, 16]
    assert history["weight_norm"].steps.tolist() == [*dense, 14, 21, 28]
    assert "update_ratio" not in history
    assert history["loss"].steps.tolist() == list(range(30))


def test_taking_the_rows_forgets_them():
    recorder, _ = loop(network(), Recorder, steps=3)
    assert recorder.take()["loss"].steps.tolist() == [0, 1, 2]
    assert not recorder.history.tables


def test_sparse_gradients_are_measured():
    model = nn.Sequential(nn.Embedding(10, 4, sparse=True), nn.Flatten(), nn.Linear(12, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer) as recorder:
        loss = model(torch.tensor([[1, 2, 1]])).square().sum()
        loss.backward()
        optimizer.step()
        recorder.step(loss)
    expected = norm64(model[0].weight.grad.to_dense())
    assert recorder.history["grad_norm"].series("0.weight")[0] == pytest.approx(expected, rel=1e-6)


def test_the_norm_of_the_whole_gradient_does_not_square_small_parts_away():
    holder = nn.Module()
    holder.weight = nn.Parameter(torch.zeros(4, dtype=torch.float64))
    optimizer = torch.optim.SGD([holder.weight], lr=0.0)
    holder.weight.grad = torch.full((4,), 1e-150, dtype=torch.float64)
    with Recorder(holder, optimizer, layers=[]) as recorder:
        optimizer.step()
        recorder.step(0.0)
    assert recorder.history["grad_norm"].series()[0] == pytest.approx(2e-150)


@pytest.mark.parametrize("name", ["grad_norm", "activation_mean", "step", "val/loss", "", "1st", "x" * 101])
def test_a_number_cannot_take_the_place_of_what_is_recorded(name):
    model = network()
    with Recorder(model, torch.optim.SGD(model.parameters(), lr=0.1)) as recorder:
        with pytest.raises(ValueError, match=r"cannot be called"):
            recorder.record(**{name: 1.0})
        with pytest.raises(ValueError, match=r"cannot be called"):
            recorder.step(1.0, **{name: 1.0})


def test_an_optimizer_of_another_model_is_told():
    stranger = torch.optim.SGD(network().parameters(), lr=0.1)
    with pytest.warns(UserWarning, match="none of the model's parameters"):
        recorder = Recorder(network(), stranger)
    assert "SGD" in recorder.facts.notes[0]
