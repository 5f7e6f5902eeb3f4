"""What recording costs: a step of four trainings with a recorder on them, ours or another's, against the bare step."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from benchmarks.held import measure_held
from benchmarks.in_loop import measure_dispatch
from benchmarks.interleave import Timed, Turns, interleave
from benchmarks.models import SUBJECTS, Subject, tiny_subjects
from benchmarks.results import Aim, Part, Table, spread
from benchmarks.rival_watchers import RIVALS
from benchmarks.trouble import in_words
from benchmarks.watchers import EVERY_SIGNAL, Attach, recording
from gradclinic.history import CHUNK_STEPS
from gradclinic.recorder import DENSE_STEPS, schedule_of

AIM, MUST = 1.02, 1.05
DEFAULT = "gradclinic, default signals and schedules"
TORCH_ALONE = "gradclinic, the same by torch's operators alone"
EVERY_STEP = "gradclinic, every signal at every step"
OURS: Mapping[str, Attach] = {
    DEFAULT: recording(),
    TORCH_ALONE: recording(kernel="torch"),
    EVERY_STEP: recording(EVERY_SIGNAL),
}
DEAR_TURNS = 3
TORCH_STEPS = 30
START_ROUNDS = 5


def measure(*, quick: bool = False) -> Part:
    """Measure every model with every recorder."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dispatch = measure_dispatch(repeats=20 if quick else 200)
    subjects = tiny_subjects() if quick else SUBJECTS
    found = {subject.name: measure_subject(subject, dispatch) for subject in subjects}
    starts = {subject.name: in_words(_measure_start, subject, dispatch) for subject in subjects}
    held, growth = measure_held(quick=quick)
    return Part(
        name="recording",
        tables=[
            _table("A step, over a bare step of the same round", found, [*OURS, *RIVALS], _ratios),
            _table("1 + in-loop share", found, list(OURS), _shares),
            _start_table(starts),
            held,
        ],
        aims=[*(_aim(name, timed[DEFAULT]) for name, timed in found.items()), growth],
        notes=[
            *(note for name, measured in found.items() for note in _trouble(name, measured)),
            *(f"{name}, the dense start: {timed}" for name, timed in starts.items() if isinstance(timed, str)),
        ],
    )


def measure_subject(subject: Subject, dispatch: dict[str, float]) -> dict[str, Timed | str]:
    """Measure one model with every recorder; of one that fails its words."""
    training = subject.make()
    plans = {name: _dear_turns(subject) for name in (*OURS, *RIVALS)}
    usual = _usual_turns(subject)
    # By torch's operators one turn of a long schedule will do, and the closing of a chunk is left out.
    plans |= {DEFAULT: usual, TORCH_ALONE: replace(usual, turns=math.ceil(TORCH_STEPS / usual.block))}
    return {
        name: in_words(interleave, training, attach, plans[name], dispatch)
        for name, attach in {**OURS, **RIVALS}.items()
    }


def _usual_turns(subject: Subject) -> Turns:
    """Plan rounds that hold every step of the schedules equally often, and the closing of a chunk as often as it comes.

    The turns of a round add up to a little more than a chunk, so that it closes once.
    """
    sizes = [parameter.numel() for parameter in subject.make().model.parameters()]
    schedule = schedule_of(elements=sum(sizes), tensors=len(sizes))
    period = math.lcm(*(every for every in schedule.values() if every))
    return Turns(
        rounds=subject.rounds,
        block=period,
        turns=math.ceil(CHUNK_STEPS / period),
        skip=math.ceil(DENSE_STEPS / period) * period,
    )


def _dear_turns(subject: Subject) -> Turns:
    return Turns(rounds=subject.rounds, block=subject.dear_steps, turns=DEAR_TURNS, skip=2)


def _measure_start(subject: Subject, dispatch: dict[str, float]) -> Timed:
    """Time the first steps of a recorder, where every signal is due at each; anew in each round."""
    training = subject.make()
    interleave(training, recording(), Turns(rounds=1, block=1, turns=1, skip=0), dispatch)  # compiles what is compiled
    plan = Turns(rounds=1, block=DENSE_STEPS, turns=1, skip=0)
    rounds = [interleave(training, recording(), plan, dispatch) for _ in range(START_ROUNDS)]
    return Timed(
        [seconds for timed in rounds for seconds in timed.bare],
        [seconds for timed in rounds for seconds in timed.watched],
        [seconds for timed in rounds for seconds in timed.inside],
    )


def _aim(model: str, timed: Timed | str) -> Aim:
    share = None if isinstance(timed, str) else statistics.median(timed.shares)
    return Aim(what=f"recording, {model}: 1 + in-loop share", measured=share, at_most=AIM, must=MUST)


def _table(
    title: str, found: Mapping[str, Mapping[str, Timed | str]], names: list[str], write: Callable[[Timed], list[float]]
) -> Table:
    rows = [[name, *(_spread(measured[name], write) for measured in found.values())] for name in names]
    return Table(title=title, headings=["", *found], rows=rows)


def _start_table(starts: Mapping[str, Timed | str]) -> Table:
    rows = [
        ["10 recorded steps over 10 bare ones", *(_spread(timed, _ratios) for timed in starts.values())],
        ["1 + in-loop share", *(_spread(timed, _shares) for timed in starts.values())],
        ["milliseconds in all beyond the training", *(_spread(timed, _milliseconds) for timed in starts.values())],
    ]
    return Table(
        title=f"The dense start: every signal at each of the first {DENSE_STEPS} steps",
        headings=["", *starts],
        rows=rows,
    )


def _spread(timed: Timed | str, write: Callable[[Timed], list[float]]) -> str:
    return "failed" if isinstance(timed, str) else spread(write(timed))


def _ratios(timed: Timed) -> list[float]:
    return timed.ratios


def _shares(timed: Timed) -> list[float]:
    return timed.shares


def _milliseconds(timed: Timed) -> list[float]:
    return [1e3 * seconds for seconds in timed.inside]


def _trouble(model: str, measured: Mapping[str, Timed | str]) -> list[str]:
    return [f"{model}, {recorder}: {timed}" for recorder, timed in measured.items() if isinstance(timed, str)]
