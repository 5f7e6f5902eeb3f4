"""The training loop: one spec, one seed, one history. It knows nothing of jobs, databases or queues."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradclinic.contract.spec import JobSpec
from gradclinic.errors import TrainingCancelled
from gradclinic.history import History, RunFacts, concatenate
from gradclinic.model import layer_facts
from gradclinic.recorder import Recorder
from gradclinic.training.data import Part
from gradclinic.training.evaluation import Evaluations, evaluate, judge_trivial
from gradclinic.training.setup import Setup, make_setup

CHUNK_STEPS = 100
"""Steps of history that are handed over at a time: long enough to pack well, short enough to lose little."""


class Observer:
    """Watches a training from outside. Every method does nothing; override what you need."""

    def on_step(self, done: int) -> None:
        """Hear that `done` optimizer steps are done. Called after each; has to be cheap."""

    def on_chunk(self, part: History) -> None:
        """Receive the rows since the last chunk: every `CHUNK_STEPS` steps, and at the end."""

    def should_stop(self) -> bool:
        """Say whether to stop; asked between steps. True ends the training with TrainingCancelled."""
        return False


@dataclass(frozen=True)
class Trained:
    """What a training leaves behind: its whole history, outcome included, and the network."""

    history: History
    network: nn.Module


def train(spec: JobSpec, *, seed: int | None = None, observer: Observer | None = None) -> Trained:
    """Train a spec and record it. The same spec and seed give the same history, bit for bit.

    Args:
        spec: A spec whose model has been resolved; what does not fit raises whatever PyTorch says.
        seed: Replaces the spec's own `training.seed`.
        observer: Watches, and can ask to stop.

    Raises:
        TrainingCancelled: The observer asked to stop.
    """
    setup = make_setup(spec, spec.training.seed if seed is None else seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setup.seed)  # dropout and its like draw from the global generator
        history = _train_recorded(setup, observer or Observer())
    return Trained(history, setup.network)


def _train_recorded(setup: Setup, observer: Observer) -> History:
    spec, steps = setup.spec, setup.steps
    evaluate_every = spec.training.evaluate_every or setup.steps_per_epoch
    evaluations = Evaluations(setup.metrics[0])
    stream = batches(
        setup.data.train,
        spec.training.batch_size,
        torch.Generator().manual_seed(setup.seed),
        join_single=setup.normalises_batches,
    )
    recorder = Recorder(
        setup.network,
        setup.optimizer,
        every=spec.recording.every,
        signals=spec.recording.signals,
        layers=layer_facts(setup.network),
    )
    recorder.facts = _facts(setup, recorder.facts)
    parts: list[History] = []
    setup.network.train()
    with recorder:
        for done in range(1, steps + 1):
            if observer.should_stop():
                raise TrainingCancelled(f"The training was asked to stop after {done - 1} of {steps} steps.")
            _take_step(setup, recorder, *next(stream))
            if done % evaluate_every == 0 or done == steps:
                values = evaluate(setup)
                recorder.record(**values)
                evaluations.add(values, done)
            observer.on_step(done)
            if done % CHUNK_STEPS == 0 or done == steps:
                parts.append(recorder.take())
                observer.on_chunk(parts[-1])
    whole = concatenate(parts)
    outcome = evaluations.outcome(whole, setup)
    return History(whole.tables, whole.facts.model_copy(update={"outcome": outcome}))


def batches(part: Part, size: int, generator: torch.Generator, *, join_single: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches without end, each epoch in a new order; a last partial batch is kept.

    With `join_single` a last batch of one sample is joined to the one before it: a batch normalisation has no
    deviation to divide by there.
    """
    while True:
        cuts = list(torch.split(torch.randperm(len(part), generator=generator), size))
        if join_single and len(cuts) > 1 and len(cuts[-1]) == 1:
            cuts[-2:] = [torch.cat(cuts[-2:])]
        for rows in cuts:
            yield part.inputs[rows], part.targets[rows]


def _take_step(setup: Setup, recorder: Recorder, inputs: Tensor, targets: Tensor) -> None:
    """Take one optimizer step. The loss recorded is that of the data alone, without the L1 penalty."""
    l1 = setup.spec.training.l1
    setup.optimizer.zero_grad()
    loss = setup.criterion(setup.network(inputs), targets)
    (loss + l1 * _l1_norm(setup.network) if l1 else loss).backward()  # type: ignore[no-untyped-call]  # PyTorch types it not
    recorder.measure()
    clipped = _clip(setup)
    setup.optimizer.step()
    recorder.step(loss, **clipped)


def _l1_norm(network: nn.Module) -> Tensor:
    """Return the sum of absolute values of all trained weights; biases and scales are not penalised."""
    weights = [p for p in network.parameters() if p.requires_grad and p.dim() > 1]
    return torch.stack([weight.abs().sum() for weight in weights]).sum() if weights else torch.zeros(())


def _clip(setup: Setup) -> dict[str, float]:
    """Clip as asked, and say as the signal `clipped` whether it changed anything; nothing where nothing was asked."""
    training = setup.spec.training
    if training.clip_grad_value is None and training.clip_grad_norm is None:
        return {}
    clipped = False
    parameters = [p for p in setup.network.parameters() if p.grad is not None]
    if (limit := training.clip_grad_value) is not None:
        clipped = any(bool((p.grad.abs() > limit).any()) for p in parameters if p.grad is not None)
        nn.utils.clip_grad_value_(parameters, limit)
    if (limit := training.clip_grad_norm) is not None:
        clipped |= bool(nn.utils.clip_grad_norm_(parameters, limit) > limit)
    return {"clipped": float(clipped)}


def _facts(setup: Setup, watched: RunFacts) -> RunFacts:
    return watched.model_copy(
        update={
            "loss": setup.spec.loss.type,
            "task": setup.data.facts.task,
            "metric": setup.metrics[0],
            "steps_planned": setup.steps,
            "steps_per_epoch": setup.steps_per_epoch,
            "trivial": judge_trivial(setup),
        }
    )
