"""What a training will take, worked out from its spec, and whether that is within the limits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import get_args

from gradclinic.contract.dataset import DataFacts
from gradclinic.contract.diagnosis import FixKind
from gradclinic.contract.limits import Limits
from gradclinic.contract.preflight import MOST_BATCHES, PASSES, SHARPNESS_ROWS
from gradclinic.contract.spec import JobSpec
from gradclinic.contract.training import LAYER_SIGNALS
from gradclinic.errors import Fault
from gradclinic.model.place import model_pointer
from gradclinic.model.resolution import Entry
from gradclinic.model.sample import Shape
from gradclinic.recorder import DENSE_STEPS, schedule_of

FLOAT_BYTES = 4

PARAMETER_COPIES = 8
"""Weights, gradients, up to two moments of an optimizer, a working copy of optimizer or recorder, and in the end a copy of the
network with two gradients, from which the noise is worked out."""

ACTIVATION_COPIES = 2
"""What is held for the backward pass has a gradient in it."""

TWICE = 2
"""Of a preflight, by how much more is held of either: the graph of a gradient, which products with the Hessian go back through, and
the vectors that they are multiplied with.
"""

DATA_BYTES = 24
"""Per number of the data: as scikit-learn makes them (float64), while they are scaled, and as they are trained on."""

HISTORY_BYTES = 16
"""Per recorded number: float64, once as rows and once as tables."""

EVALUATION_ROWS = 1024
"""Rows that an evaluation passes through the network at a time."""

BACKWARD_COST = 2
"""FLOPs of a backward pass over those of a forward pass: one product for the input, one for the weights."""

FLOPS_PER_SECOND = 5e10
"""What one core computes in products and convolutions. Measured on one of 2026: 9e9 in a GRU of 32 units, 7e10 in an LSTM
of two layers of 64. Eleven models were estimated at 0.5 to 2 times of what they took there.
"""

STEP_SECONDS = 4e-4
"""What a step takes whatever the model is: fetching the batch, the loss, the optimizer's and the recorder's own work."""

CALL_SECONDS = 4e-5
"""What an operator takes to be called forward and backward, however little it computes."""

TENSOR_SECONDS = 3e-5
"""What a parameter takes in a step, to be updated and recorded, however small it is."""

STEP_NUMBERS = 8
"""Numbers recorded of each step as a whole: the loss, the rate, the norm, and evaluations."""

MOST_FIXES = len(get_args(FixKind))
"""For how many fixes `all` counts, and any larger number: one of each kind. What fits a training is few of them."""


@dataclass(frozen=True)
class Costs:
    """What a training takes; the names are those of the limits and of `ResolvedSpec`."""

    steps: int
    batch: int
    parameters: int
    trained: int
    flops_per_step: int
    flops: int
    memory: int
    history: int
    seconds: float


def batch_rows(spec: JobSpec, facts: DataFacts) -> int:
    """Return the samples in the largest batch."""
    return min(spec.training.batch_size, facts.train)


def work_out_costs(spec: JobSpec, facts: DataFacts, entries: Iterable[Entry], output: Shape) -> Costs:
    """Add up what the layers take over the whole training."""
    layers = list(entries)
    steps, batch = spec.total_steps(facts.train), batch_rows(spec, facts)
    is_preflight = spec.training.is_preflight
    # A preflight takes no step, and as long as so many.
    passes = PASSES if is_preflight else steps
    parameters = sum(entry.parameters for entry in layers)
    forward = sum(entry.flops for entry in layers)
    judged = facts.validation or facts.train
    evaluations = 1 + steps // (spec.training.evaluate_every or spec.steps_per_epoch(facts.train))
    history = _recorded_numbers(spec, MOST_BATCHES if is_preflight else steps, layers)
    per_step = (1 + BACKWARD_COST) * forward
    twice, rows = (TWICE, min(max(batch, SHARPNESS_ROWS), facts.train)) if is_preflight else (1, batch)
    held = (
        twice * PARAMETER_COPIES * parameters
        + twice * ACTIVATION_COPIES * rows * sum(entry.held for entry in layers)
        + ACTIVATION_COPIES
        * min(judged, EVALUATION_ROWS)
        * max((math.prod(entry.output) for entry in layers), default=0)
        # An evaluation keeps the outputs of all rows, and so does the judging of the predictor that ignores its input.
        + ACTIVATION_COPIES * max(facts.train, judged) * math.prod(output)
    )
    flops = passes * per_step + evaluations * judged * forward // batch
    return Costs(
        steps=steps,
        batch=batch * math.prod(facts.input_shape),
        parameters=parameters,
        trained=sum(entry.trained for entry in layers),
        flops_per_step=per_step,
        flops=flops,
        memory=FLOAT_BYTES * held + DATA_BYTES * data_numbers(spec, facts) + HISTORY_BYTES * history,
        history=history,
        seconds=_seconds(passes, flops, layers),
    )


def _seconds(steps: int, flops: int, layers: list[Entry]) -> float:
    """Estimate how long the training takes: its FLOPs, and what each step takes whatever it computes. It is rough."""
    calls, tensors = sum(entry.calls for entry in layers), sum(entry.tensors for entry in layers)
    return flops / FLOPS_PER_SECOND + steps * (STEP_SECONDS + CALL_SECONDS * calls + TENSOR_SECONDS * tensors)


def data_numbers(spec: JobSpec, facts: DataFacts) -> int:
    """Return the numbers in all samples, inputs and targets, those included that are drawn and then left out."""
    kept = facts.train + facts.validation
    rows: int = getattr(spec.data, "samples", kept)
    return rows * (math.prod(facts.input_shape) + math.prod(facts.target_shape))


def _largest_data_pointer(spec: JobSpec, facts: DataFacts) -> str:
    """Return the place of what makes the data that large."""
    if facts.one_hot and math.prod(facts.target_shape) > math.prod(facts.input_shape):
        return "/data/one_hot"
    return "/data/samples" if hasattr(spec.data, "samples") else "/data"


def data_faults(spec: JobSpec, facts: DataFacts, limits: Limits) -> Iterator[Fault]:
    """Yield what is too much of the data and the steps, whatever the model is."""
    numbers = data_numbers(spec, facts)
    if numbers > limits.max_data:
        yield _too_much(_largest_data_pointer(spec, facts), "The data have", numbers, "numbers", limits.max_data)
    batch = batch_rows(spec, facts) * math.prod(facts.input_shape)
    if batch > limits.max_batch:
        yield _too_much("/training/batch_size", "A batch has", batch, "numbers", limits.max_batch)
    steps = spec.total_steps(facts.train)
    if steps > limits.max_steps:
        yield _too_much(_length_pointer(spec), "The training has", steps, "steps", limits.max_steps)


def cost_faults(spec: JobSpec, costs: Costs, limits: Limits) -> Iterator[Fault]:
    """Yield what the model takes that is too much."""
    if costs.parameters > limits.max_parameters:
        yield _too_much(
            model_pointer(spec.model), "The model has", costs.parameters, "parameters", limits.max_parameters
        )
    if costs.memory > limits.max_memory:
        yield _too_much("/model", "The training would hold about", costs.memory, "bytes", limits.max_memory)
    if costs.flops > limits.max_flops:
        pointer = _length_pointer(spec)
        yield _too_much(pointer, "The training would take", costs.flops, "FLOPs", int(limits.max_flops))
    elif costs.seconds > limits.max_seconds:  # one word at one place: they are of one kind
        pointer = _length_pointer(spec)
        seconds = math.ceil(costs.seconds)
        yield _too_much(pointer, "The training would take about", seconds, "seconds", limits.max_seconds)
    if costs.history > limits.max_history:
        yield _too_much("/recording/every", "Recording would keep", costs.history, "numbers", limits.max_history)
    yield from _proof_faults(spec, limits)


def _proof_faults(spec: JobSpec, limits: Limits) -> Iterator[Fault]:
    """Yield what the proof of the fixes may cost that is too much, as far as can be told before any is proposed."""
    verification = spec.verification
    if verification.fixes == 0 or spec.training.is_preflight:
        return
    if verification.budget is not None:
        pointer, trials = "/verification/budget", math.ceil(verification.budget)
    else:
        pointer, trials = "/verification/seeds", verification.trials_at_most(MOST_FIXES) or 0
    if trials > limits.max_trials:
        yield _too_much(pointer, "The proof of the fixes may take", trials, "trainings", limits.max_trials)


def _recorded_numbers(spec: JobSpec, steps: int, layers: list[Entry]) -> int:
    """Count the numbers that the recorder keeps at most: one a signal, subject and step at which it is due."""
    tensors, watched = sum(entry.tensors for entry in layers), sum(entry.watched for entry in layers)
    total = STEP_NUMBERS * steps
    schedule = schedule_of(
        spec.recording.every,
        spec.recording.signals,
        elements=sum(entry.trained for entry in layers),
        tensors=sum(entry.tensors for entry in layers if entry.trained),
    )
    for signal, every in schedule.items():
        if every > 0:
            times = min(steps, DENSE_STEPS + steps // every)
            total += times * (watched if signal in LAYER_SIGNALS else tensors)
    return total


def _length_pointer(spec: JobSpec) -> str:
    return "/training/epochs" if spec.training.epochs is not None else "/training/steps"


def _too_much(pointer: str, opening: str, figure: int, unit: str, limit: float) -> Fault:
    shown = f"{figure:,}" if figure < 10**15 else f"{figure:.3g}"
    most = f"{limit:,g}" if limit < 1 else f"{int(limit):,}"
    return Fault(pointer, f"{opening} {shown} {unit}; the limit here is {most}.", f"at most {most} {unit}")
