import time

import pytest
import torch
from torch import nn

from benchmarks.in_loop import InLoop, measure_dispatch
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


def test_the_recorders_hooks_on_the_graph_are_timed():
    in_loop = InLoop()
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    optimizer = torch.optim.SGD(model.parameters())
    with in_loop.watched(), Recorder(model, optimizer) as recorder:
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        recorder.step(0.0)

    assert in_loop.calls["node"] + in_loop.calls["gradient"] == len(model)
    assert in_loop.calls["forward"] >= len(model)


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
