import time

import pytest
import torch
from torch import nn

from benchmarks.in_loop import KINDS, InLoop, measure_dispatch
from gradclinic.contract.training import SIGNALS
from gradclinic.recorder import Recorder


def test_seconds_inside_what_is_wrapped_are_counted_once():
    in_loop = InLoop()
    inner = in_loop.wrap(lambda: time.sleep(0.02))
    outer = in_loop.wrap(lambda: (inner(), time.sleep(0.01)))

    began = time.perf_counter()
    outer()
    elapsed = time.perf_counter() - began

    assert 0.03 <= in_loop.seconds <= elapsed
    assert in_loop.calls["step"] == 2


def test_hooks_given_to_pytorch_are_timed_wherever_they_are_put():
    in_loop = InLoop()
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    optimizer = torch.optim.SGD(model.parameters())
    with in_loop.watched():
        model[0].register_forward_hook(lambda *_: None)
        model[1].register_forward_pre_hook(lambda *_: None)
        model[0].weight.register_post_accumulate_grad_hook(lambda _: None)
        optimizer.register_step_pre_hook(lambda *_: None)
        optimizer.register_step_post_hook(lambda *_: None)
        output = model(torch.ones(1, 2))
        output.register_hook(lambda _: None)
        output.sum().backward()
        optimizer.step()

    assert in_loop.calls == {"forward": 2, "gradient": 2, "node": 0, "step": 2}
    assert in_loop.with_dispatch({"forward": 1.0, "gradient": 10.0}) == pytest.approx(in_loop.seconds + 22.0)


@pytest.mark.parametrize("step", [0, 20])
def test_every_hook_of_the_recorder_is_timed_once_also_where_it_comes_back(step: int):
    in_loop = InLoop()
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    optimizer = torch.optim.SGD(model.parameters())
    signals = dict.fromkeys(SIGNALS, 20)
    with in_loop.watched(), Recorder(model, optimizer, signals=signals) as recorder:
        for _ in range(step + 1):
            in_loop.calls = dict.fromkeys(KINDS, 0)
            model(torch.ones(1, 2)).sum().backward()
            optimizer.step()
            recorder.step(0.0)
        history = recorder.history

    assert int(history["activation_mean"].steps[-1]) == step
    # One more than there are layers: the model's own, which tells that a forward pass begins.
    assert in_loop.calls == {"forward": len(model) + 1, "gradient": 0, "node": len(model), "step": 1}


def test_nothing_is_timed_or_replaced_afterwards():
    originals = nn.Module.register_forward_hook, torch.Tensor.register_hook
    in_loop = InLoop()
    with in_loop.watched():
        pass
    nn.ReLU().register_forward_hook(lambda *_: None)

    assert (nn.Module.register_forward_hook, torch.Tensor.register_hook) == originals
    assert not any(in_loop.calls.values())


def test_what_a_hook_costs_is_no_less_than_nothing():
    assert all(seconds >= 0 for seconds in measure_dispatch(hooks=5, repeats=3).values())
