"""Runs longer than a chunk: where the rows go, what is held meanwhile, and when a device is waited for."""

import gc
import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from gradclinic.history import CHUNK_STEPS, concatenate
from gradclinic.recorder import Recorder


def train(steps, **options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Sigmoid(), nn.Linear(5, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(8, 4)
    with Recorder(model, optimizer, **options) as recorder:
        for step in range(steps):
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            optimizer.step()
            recorder.step(loss)
            if step % 100 == 0:
                recorder.record(val_loss=step)
    return recorder


def assert_same(one, other):
    assert one.tables.keys() == other.tables.keys()
    for name, table in one.tables.items():
        assert table.subjects == other[name].subjects
        assert np.array_equal(table.steps, other[name].steps), name
        assert np.array_equal(table.values, other[name].values, equal_nan=True), name


def test_chunks_go_to_the_sink_and_join_to_the_history():
    chunks = []
    streamed = train(2 * CHUNK_STEPS + 40, sink=chunks.append)
    kept = train(2 * CHUNK_STEPS + 40)
    steps = [chunk["loss"].steps for chunk in chunks]
    assert [(int(each[0]), int(each[-1]) + 1) for each in steps] == [
        (0, CHUNK_STEPS), (CHUNK_STEPS, 2 * CHUNK_STEPS), (2 * CHUNK_STEPS, 2 * CHUNK_STEPS + 40),
    ]  # fmt: skip
    assert_same(concatenate(chunks), kept.history)
    assert not streamed.history.tables
    assert chunks[0].facts.recorder_kernel == "compiled"


def test_a_number_of_the_last_step_of_a_chunk_belongs_to_that_chunk():
    chunks = []
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer, sink=chunks.append) as recorder:
        for step in range(CHUNK_STEPS + 1):
            recorder.step(0.0)
            recorder.record(accuracy=step)
            recorder.record(accuracy=step + 0.5)
    assert chunks[0]["accuracy"].steps.tolist() == list(range(CHUNK_STEPS))
    assert chunks[0]["accuracy"].series()[-1] == CHUNK_STEPS - 0.5
    assert chunks[1]["accuracy"].steps.tolist() == [CHUNK_STEPS]


def test_the_rest_goes_to_the_sink_after_an_error_too():
    chunks = []
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def loop():
        with Recorder(model, optimizer, sink=chunks.append) as recorder:
            recorder.step(1.0)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        loop()
    assert chunks[0]["loss"].series().tolist() == [1.0]


def test_a_history_can_be_read_while_it_grows_and_taking_it_forgets_it():
    recorder = train(2 * CHUNK_STEPS + 1)
    assert recorder.history["loss"].steps.tolist() == list(range(2 * CHUNK_STEPS + 1))
    assert_same(recorder.history, recorder.take())
    assert not recorder.history.tables


def numbers_held(recorder):
    """Count the numbers of rows that are in memory."""
    rows = recorder._rows
    return sum(np.size(row) for block in (*rows._blocks.values(), *rows._numbers.values()) for row in block.rows)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_steps():
    def after(steps):
        gc.collect()
        tracemalloc.start()
        recorder = train(steps, signals={"update_ratio": 1, "activation_mean": 1})
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return numbers_held(recorder), held, len(recorder.history["loss"].steps)

    after(CHUNK_STEPS)  # whatever is made once
    short, long = after(2 * CHUNK_STEPS), after(8 * CHUNK_STEPS)
    parameters, layers, of_a_step = 4, 3, 3
    assert max(short[0], long[0]) <= CHUNK_STEPS * (8 * parameters + 5 * layers + of_a_step)
    # Six chunks more are 400,000 bytes as rows.
    assert long[1] < short[1] + 50_000
    assert (short[2], long[2]) == (2 * CHUNK_STEPS, 8 * CHUNK_STEPS)


class NoWaiting(TorchDispatchMode):
    """Fails wherever the host would wait for a device, had the tensors been there."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function)
        waits = "_local_scalar_dense" in name or name == "aten.nonzero.default"
        copies = "_to_copy" in name and str((kwargs or {}).get("device")) == "cpu"
        assert not waits, f"{name} makes the host wait"
        assert not copies, f"{name} makes the host wait"
        return function(*args, **(kwargs or {}))


def test_what_waits_is_noticed():
    with pytest.raises(AssertionError, match="wait"), NoWaiting():
        torch.ones(2).sum().item()
    with pytest.raises(AssertionError, match="wait"), NoWaiting():
        torch.ones(2).double().to("cpu", torch.float32)


def test_nothing_waits_for_a_device_between_two_chunks(monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=torch.tensor(0.01))
    x = torch.randn(8, 4)
    losses = []
    # numpy reads a tensor without asking PyTorch's dispatcher.
    monkeypatch.setattr(torch.Tensor, "numpy", lambda *_, **__: pytest.fail("the host waits for an array"))
    with Recorder(model, optimizer, defer=True) as recorder:
        for step in range(30):
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            # The optimizer itself reads a learning rate that is a tensor, so it is not watched.
            with NoWaiting():
                recorder.measure()
                optimizer._optimizer_step_pre_hooks[next(iter(optimizer._optimizer_step_pre_hooks))](optimizer, (), {})
            optimizer.step()
            losses.append(loss.item())
            with NoWaiting():
                recorder.step(loss, clipped=loss > 0)
            with torch.no_grad():
                loss.zero_()
                optimizer.param_groups[0]["lr"].fill_(0.01 + step)
                optimizer.param_groups[0]["lr"].fill_(0.01)
    monkeypatch.undo()
    history = recorder.history
    assert history["loss"].series() == pytest.approx(losses, rel=1e-6)
    assert history["lr"].series() == pytest.approx([0.01] * 30, rel=1e-6)
    assert history["clipped"].series().tolist() == [1.0] * 30


def test_deferred_numbers_are_those_taken_at_once():
    at_once, deferred = train(150, kernel="torch").history, train(150, defer=True).history
    assert at_once.tables.keys() == deferred.tables.keys()
    for name, table in at_once.tables.items():
        assert np.array_equal(table.steps, deferred[name].steps), name
        assert deferred[name].values == pytest.approx(table.values, rel=1e-6, abs=1e-12, nan_ok=True), name
