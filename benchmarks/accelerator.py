"""What recording costs on a GPU, and that it makes the host wait for it no more often than once a chunk.

It runs where PyTorch finds CUDA; elsewhere it says that nothing was measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.interleave import Timed, Turns, interleave, take_steps
from benchmarks.models import SUBJECTS, Subject, Training, tiny_subjects
from benchmarks.results import Aim, Part, Table, spread
from benchmarks.trouble import in_words
from benchmarks.watchers import Attach, bare, recording
from gradclinic.history import CHUNK_STEPS
from gradclinic.recorder import DENSE_STEPS

AIM, MUST = 1.02, 1.05
NO_GPU = "not measured: no GPU here"
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "aten::_local_scalar_dense")
"""What makes the host wait for the device."""
COPIES = ("Memcpy DtoH",)
"""What brings numbers to the host."""
PROFILED_FROM = 2 * DENSE_STEPS
PROFILED = 60
"""Steps whose events are counted, all within the first chunk: nothing is handed over there."""
ROUNDS, TURNS, BLOCK = 5, 4, 40


def measure(*, quick: bool = False) -> Part:
    """Measure the same four trainings on the GPU."""
    assert PROFILED_FROM + PROFILED < CHUNK_STEPS
    if not torch.cuda.is_available():
        return Part(name="accelerator", notes=[NO_GPU], aims=[_aim(subject.name, None) for subject in SUBJECTS])
    torch.manual_seed(0)
    subjects = tiny_subjects() if quick else SUBJECTS
    timed = {subject.name: in_words(_time, subject) for subject in subjects}
    counts = {subject.name: in_words(_count_both, subject) for subject in subjects}
    failures = [f"{name}: {found}" for name, found in (timed | counts).items() if isinstance(found, str)]
    return Part(
        name="accelerator",
        tables=[_times(timed), _events(counts)],
        aims=[*(_aim(name, found) for name, found in timed.items()), _waits_aim(counts)],
        notes=failures,
    )


def _on_gpu(subject: Subject) -> Training:
    training = subject.make()
    training.model.cuda()
    training.inputs, training.targets = training.inputs.cuda(), training.targets.cuda()
    return training


def _time(subject: Subject) -> Timed:
    plan = Turns(rounds=ROUNDS, block=BLOCK, turns=TURNS, skip=2 * DENSE_STEPS)
    return interleave(_on_gpu(subject), recording(), plan, {})


def _count_both(subject: Subject) -> dict[str, Counter[str]]:
    training = _on_gpu(subject)
    return {name: count_events(training, attach) for name, attach in (("bare", bare), ("recorded", recording()))}


def count_events(training: Training, attach: Attach) -> Counter[str]:
    """Count what makes the host wait, and what is copied to it, over steps between two hand-overs."""
    twin = training.twin()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if training.inputs.is_cuda else [])]
    counted: Counter[str] = Counter()
    with attach(twin) as watch:
        take_steps(twin, watch, PROFILED_FROM)
        with profile(activities=activities) as profiler:
            for _ in range(PROFILED):
                loss = twin.compute_gradients()
                watch.before_update()
                twin.optimizer.step()
                watch.after_update(loss)
    for event in profiler.events() or ():
        for name in (*WAITS, *COPIES):
            counted[name] += event.name.startswith(name)
    return counted


def _times(timed: Mapping[str, Timed | str]) -> Table:
    rows = [
        [name, *(["failed", "-"] if isinstance(found, str) else [spread(found.ratios), spread(found.shares)])]
        for name, found in timed.items()
    ]
    return Table(
        title="A recorded step over a bare one, on the GPU",
        headings=["", "ratio", "1 + share of the host's time"],
        rows=rows,
    )


def _events(counts: Mapping[str, Mapping[str, Counter[str]] | str]) -> Table:
    rows = [
        [name, *(f"{found['bare'][event]} / {found['recorded'][event]}" for event in (*WAITS, *COPIES))]
        for name, found in counts.items()
        if not isinstance(found, str)
    ]
    title = f"Events in {PROFILED} steps between two hand-overs, bare / recorded (torch.profiler)"
    return Table(title=title, headings=["", *WAITS, *COPIES], rows=rows)


def _aim(model: str, timed: Timed | str | None) -> Aim:
    ratio = sorted(timed.ratios)[len(timed.ratios) // 2] if isinstance(timed, Timed) else None
    return Aim(what=f"recording on a GPU, {model}: recorded over bare", measured=ratio, at_most=AIM, must=MUST)


def _waits_aim(counts: Mapping[str, Mapping[str, Counter[str]] | str]) -> Aim:
    found = [count for count in counts.values() if not isinstance(count, str)]
    added = sum(max(c["recorded"][event] - c["bare"][event], 0) for c in found for event in (*WAITS, *COPIES))
    what = f"recording on a GPU: waits and copies that it adds to {PROFILED} steps between hand-overs"
    return Aim(what=what, measured=float(added) if found else None, at_most=0)
