"""What a recorder holds in memory: as much after ten thousand steps as after a thousand."""

from __future__ import annotations

import gc
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.interleave import take_steps
from benchmarks.models import sigmoid_mlp
from benchmarks.results import Aim, Table
from benchmarks.watchers import Watch, recording
from gradclinic.history import CHUNK_STEPS

CHUNKS = (8, 80)
"""Chunks after which is measured, about 1,000 and 10,000 steps: each time a step before the last one is handed over,
when most is held."""
KIB = 1024
_FOREIGN = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType, nn.Module, Optimizer)


def measure_held(*, quick: bool) -> tuple[Table, Aim]:
    """Record a small training for ten thousand steps; weigh the recorder early and late."""
    training = sigmoid_mlp(layers=10, width=8, batch=4)
    columns, held, resident = [], [], []
    with recording()(training) as watch:
        assert watch.recorder is not None
        silent = Watch(after_update=watch.recorder.step)
        done = 0
        for chunks in (1, 2) if quick else CHUNKS:
            steps = chunks * CHUNK_STEPS - 1
            take_steps(training, silent, steps - done)
            done = steps
            held.append(held_bytes(watch.recorder, foreign=(training.model, training.optimizer)))
            resident.append(_resident_bytes())
            columns.append(f"after {steps:,} steps")
    parameters = sum(parameter.numel() for parameter in training.model.parameters())
    rows = [
        ["held by the recorder, KiB", *(f"{size / KIB:,.1f}" for size in held)],
        ["resident memory of the process, KiB", *("-" if size is None else f"{size / KIB:,.0f}" for size in resident)],
    ]
    title = f"Memory, on a sigmoid MLP of 10 layers and {parameters:,} parameters (its weights are {4 * parameters / KIB:,.1f} KiB)"
    aim = Aim(what="recording: memory held late over early", measured=held[-1] / held[0], at_most=1.01)
    return Table(title=title, headings=["", *columns], rows=rows), aim


def held_bytes(root: object, foreign: tuple[object, ...]) -> int:
    """Return the bytes of everything that can be reached from an object, but not through these foreign ones."""
    seen = {id(thing) for thing in foreign}
    waiting: list[Any] = [root]
    total = 0
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, (*_FOREIGN, nn.Parameter)):
            continue
        seen.add(id(thing))
        total += _own_bytes(thing, seen)
        waiting.extend(gc.get_referents(thing))
    return total


def _own_bytes(thing: Any, seen: set[int]) -> int:
    if isinstance(thing, Tensor):
        storage = thing.untyped_storage()
        known = storage.data_ptr() in seen
        seen.add(storage.data_ptr())
        return 0 if known else storage.nbytes()
    if isinstance(thing, np.ndarray):
        return sys.getsizeof(thing) if thing.base is None else 0  # a view's memory is counted where it lies
    return sys.getsizeof(thing, 0)


def _resident_bytes() -> int | None:
    """Return what the system says this process occupies; None where it does not say."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return None
    import resource  # noqa: PLC0415 - there is none on some systems

    return int(status.read_text().split()[1]) * resource.getpagesize()
