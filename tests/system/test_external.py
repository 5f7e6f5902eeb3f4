"""A user's own loop, recorded, sent while it trains to a service in a process of its own, which dies and comes back."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradclinic import Client, Recorder, diagnose
from gradclinic.history import History, SignalTable
from gradclinic.training import set_threads
from store.histories import read_history
from tests.system.running import START_SECONDS, Process, System, assert_same_bits, wait_until

pytestmark = pytest.mark.slow

STEPS = 300


class DeepSigmoid(nn.Module):
    """A model that no spec describes: its depth is lost on the gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(16, 16) for _ in range(12))
        self.activations = nn.ModuleList(nn.Sigmoid() for _ in range(12))
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        for linear, activation in zip(self.hidden, self.activations, strict=True):
            x = activation(linear(x))
        out: Tensor = self.head(x)
        return out


def train(recorder_sink: Callable[[History], None] | None, *, between: Callable[[int], None] | None = None) -> History:
    """Train for `STEPS`; return the recorded history where no sink took it."""
    set_threads()  # one thread: several that share a busy core with others wait for each other
    torch.manual_seed(0)
    model = DeepSigmoid()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(64, 16), torch.randint(0, 4, (64,))
    with Recorder(model, optimizer, sink=recorder_sink) as recorder:
        for step in range(STEPS):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            recorder.step(loss)
            if step % 50 == 49:
                recorder.record(val_loss=loss.item())
            if between is not None:
                between(step)
    return recorder.history


class Restartable:
    """A service on a port of its own, so that it comes back where it was."""

    def __init__(self, system: System) -> None:
        self._system = system
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self.process = self.start()

    def start(self) -> Process:
        process = self._system.start("service", "--port", str(self._port))
        wait_until(lambda: process.said("listening"), START_SECONDS)
        self.process = process
        return process


def stored(system: System, run_id: str) -> History:
    with system.store.reading() as reader:
        return read_history(reader, run_id)


def test_a_users_loop_is_diagnosed_as_it_would_be_offline(system: System):
    expected = train(None)
    with Client(system.url()) as client, client.stream(name="nightly") as stream:
        assert not train(stream).tables
    assert stream.unsent is None
    assert stream.run is not None
    assert (stream.run.status, stream.run.steps_done, stream.run.health) == ("succeeded", STEPS, "critical")
    assert_same_bits(stored(system, stream.run.id), expected)
    with Client(system.url()) as client:
        found = client.run_diagnosis(stream.run.id)
        overview = client.history(stream.run.id, signals=["loss", "val_loss"], points=10)
        uploaded = client.upload(expected, name="nightly")
        assert client.run_diagnosis(uploaded.id) == found
    offline = diagnose(expected)
    assert "vanishing_gradient" in [finding.rule for finding in found.findings]
    assert (found.health, found.findings) == (offline.health, offline.findings)
    assert overview["columns"]["val_loss"]["max"].count(None) < 10
    assert_same_bits(stored(system, uploaded.id), expected)


def test_a_service_that_is_killed_and_comes_back_loses_nothing(system: System):
    expected = train(None)
    service = Restartable(system)

    def disturb(step: int) -> None:
        if step == 140:
            service.process.kill()
        if step == 280:
            service.start()

    with Client(service.url) as client, client.stream() as stream:
        train(stream, between=disturb)
    assert stream.unsent is None
    assert stream.run is not None
    assert_same_bits(stored(system, stream.run.id), expected)
    assert stream.run.health == "critical"


def test_another_process_goes_on_with_a_run(system: System, tmp_path: Path):
    """The first process dies without a word in the middle of its training; the second one has its checkpoint."""
    script = tmp_path / "first.py"
    script.write_text(
        "import os, sys, time\n"
        "import numpy as np\n"
        "from gradclinic import Client\n"
        "from gradclinic.history import History, SignalTable\n"
        "stream = Client(sys.argv[1]).stream(name='in two')\n"
        "steps = np.arange(128)\n"
        "stream(History({'loss': SignalTable(steps, ('',), steps[:, None] / 2)}))\n"
        "while stream.run is None or not stream.run.chunks:\n"
        "    time.sleep(0.02)\n"
        "print(stream.run_id, flush=True)\n"
        "os._exit(1)\n"
    )
    ended = subprocess.run(
        [sys.executable, str(script), system.url()], capture_output=True, text=True, check=False, timeout=60
    )
    run_id = ended.stdout.strip()
    assert run_id, ended.stderr
    steps = np.arange(128, 200)
    with Client(system.url()) as client, client.stream(run_id=run_id) as stream:
        stream(History({"loss": SignalTable(steps, ("",), steps[:, None] / 2)}))
    assert stream.run is not None
    assert (stream.run.chunks, stream.run.steps_done, stream.run.name) == (2, 200, "in two")
