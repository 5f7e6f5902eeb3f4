"""The training loop: one spec, one seed, one history. It knows nothing of jobs, databases or queues."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradclinic.contract.diagnosis import RuleId
from gradclinic.contract.spec import JobSpec
from gradclinic.errors import TrainingCancelled
from gradclinic.files import Files
from gradclinic.history import CHUNK_STEPS, History, RunError, concatenate
from gradclinic.model import layer_facts
from gradclinic.recorder import Recorder
from gradclinic.training.batches import batches
from gradclinic.training.evaluation import Evaluations, evaluate
from gradclinic.training.facts import facts_after, facts_before
from gradclinic.training.preflight import look_ahead
from gradclinic.training.raised import RaisedByTorch, torch_may_raise
from gradclinic.training.schedule import Schedule
from gradclinic.training.setup import Setup, make_setup
from gradclinic.training.step import clip, compute_gradient, reproducible
from gradclinic.training.stopping import Stopper

FEW = 4
"""Losses in a row that are not finite before an observer is called to look."""

MAX_WORDS = 2000
"""Characters of an error of PyTorch's that are kept."""


class Observer:
    """Watches a training from outside. Every method does nothing; override what you need."""

    def on_start(self, planned: int) -> None:
        """Hear how many optimizer steps the training is to take."""

    def on_step(self, done: int) -> None:
        """Hear that `done` optimizer steps are done. Called after each; has to be cheap."""

    def on_chunk(self, part: History) -> None:
        """Receive the rows since the last chunk: every `CHUNK_STEPS` steps, and at the end."""

    def on_evaluation(self, values: dict[str, float], done: int) -> None:
        """Hear of an evaluation after `done` steps: `val_loss` and the metrics, by name."""

    def on_non_finite(self, part: History) -> None:
        """Look at the rows since the last chunk, because the losses of the last steps were not finite.

        They come again with their chunk. Not called on a device that would have to be waited for.
        """

    def should_end(self) -> bool:
        """Say whether the training has gone on for long enough; asked after each step, before its rows are handed over.

        True ends it there as early stopping does: with a last evaluation, and an outcome with the steps really done.
        """
        return False

    def ended_by(self) -> RuleId | None:
        """Name the finding for which `should_end` said True; None where it was none."""
        return None

    def should_stop(self) -> bool:
        """Say whether to stop; asked between steps. True ends the training with TrainingCancelled."""
        return False


@dataclass(frozen=True)
class Trained:
    """What a training leaves behind: its whole history, outcome included, and the network."""

    history: History
    network: nn.Module


def train(
    spec: JobSpec, *, seed: int | None = None, observer: Observer | None = None, files: Files | None = None
) -> Trained:
    """Train a spec and record it. The same spec and seed give the same history, bit for bit, on the CPU.

    With 0 steps nothing is trained: the history is that of a preflight (`gradclinic.training.preflight`).

    An error that PyTorch raises in the middle, such as that of a loss that cannot take a value, ends the training and
    is a part of the result (`history.facts.error`).

    Args:
        spec: A spec whose model has been resolved.
        seed: Replaces the spec's own `training.seed`.
        observer: Watches, and can ask to stop.
        files: Where data under a path, or uploaded, are found.

    Raises:
        TrainingCancelled: The observer asked to stop.
        InvalidSpec: The data cannot be read, or the layers do not fit together.
        DeviceUnavailable: This machine does not have the spec's device.
        MemoryError: This machine does not have the memory.
    """
    setup = make_setup(spec, spec.training.seed if seed is None else seed, files)
    if spec.training.is_preflight:
        return Trained(look_ahead(setup, observer or Observer(), files), setup.network)
    with reproducible(setup):
        history = _Training(setup, observer or Observer()).run()
    return Trained(history, setup.network)


class _Training:
    """One training on its way: what is counted from step to step."""

    def __init__(self, setup: Setup, observer: Observer) -> None:
        self.setup = setup
        self.observer = observer
        self.evaluations = Evaluations(setup.metrics[0])
        self.stopper = Stopper(setup.spec.training.early_stopping, setup.network)
        self.evaluate_every = setup.spec.training.evaluate_every or setup.steps_per_epoch
        self.done = 0
        self.non_finite_in_a_row = 0
        self.ended_by: RuleId | None = None
        self.parts: list[History] = []
        recording = setup.spec.recording
        self.recorder = Recorder(
            setup.network,
            setup.optimizer,
            every=recording.every,
            signals=recording.signals,
            layers=layer_facts(setup.network),
        )
        self.recorder.facts = facts_before(setup, self.recorder.facts)

    def run(self) -> History:
        """Train to the end, whatever that is, and return the whole history."""
        error: RunError | None = None
        self.observer.on_start(self.setup.steps)
        self.setup.network.train()
        with self.recorder:
            try:
                self._train()
            except RaisedByTorch as raised:
                error = RunError(step=self.done, type=type(raised.__cause__).__name__, message=str(raised)[:MAX_WORDS])
        if error is not None or self.done % CHUNK_STEPS:
            self._hand_over()
        whole = concatenate(self.parts)
        outcome = self.evaluations.outcome(whole, self.done, self.setup.steps_per_epoch)
        if self.ended_by is not None:
            saved = self.setup.steps - self.done
            outcome = outcome.model_copy(update={"stopped_by": self.ended_by, "steps_saved": saved})
        known = facts_after(self.setup, self.recorder.facts)
        return History(whole.tables, known.model_copy(update={"outcome": outcome, "error": error}))

    def _train(self) -> None:
        setup = self.setup
        with torch_may_raise():
            schedule = Schedule(setup.spec.scheduler, setup.optimizer, setup.steps, setup.steps_per_epoch)
        stream = batches(
            setup.data.train,
            setup.spec.training.batch_size,
            torch.Generator().manual_seed(setup.seed),
            join_single=setup.spec.joins_single,
        )
        while self.done < setup.steps:
            if self.observer.should_stop():
                raise TrainingCancelled(f"The training was asked to stop after {self.done} of {setup.steps} steps.")
            loss = _take_step(setup, self.recorder, *next(stream))
            self.done += 1
            self._watch(loss)
            with torch_may_raise():
                schedule.after_step(self.done)
            is_due = self._is_evaluation_due()
            is_over = self._evaluate(schedule) if is_due else False
            self.observer.on_step(self.done)
            if self.observer.should_end() and not is_over:
                # Before the rows are handed over, so that the last evaluation is among them.
                if not is_due:
                    self._evaluate(schedule)
                self.ended_by = self.observer.ended_by()
                is_over = True
            if self.done % CHUNK_STEPS == 0:
                self._hand_over()
            if is_over:
                break
        if self.stopper.restore():
            self.evaluations.last = evaluate(setup)

    def _watch(self, loss: Tensor) -> None:
        """Count the last losses that were not finite, and show the rows once a few of them were: 4, 8, 16 and so on."""
        if not loss.is_cpu or math.isfinite(loss.item()):
            self.non_finite_in_a_row = 0
            return
        self.non_finite_in_a_row += 1
        if self.non_finite_in_a_row >= FEW and self.non_finite_in_a_row.bit_count() == 1:
            self.observer.on_non_finite(self.recorder.history)

    def _is_evaluation_due(self) -> bool:
        return self.done % self.evaluate_every == 0 or self.done == self.setup.steps

    def _evaluate(self, schedule: Schedule) -> bool:
        """Judge the network as it is; say whether the training is over."""
        with torch_may_raise():
            values = evaluate(self.setup)
        self.recorder.record(**values)
        self.evaluations.add(values, self.done)
        self.observer.on_evaluation(values, self.done)
        schedule.after_evaluation(values["val_loss"])
        return self.stopper.is_over(values)

    def _hand_over(self) -> None:
        part = self.recorder.take()
        if part.tables:
            self.parts.append(part)
            self.observer.on_chunk(part)


def _take_step(setup: Setup, recorder: Recorder, inputs: Tensor, targets: Tensor) -> Tensor:
    """Take one optimizer step, and return its loss: that of the data alone, without the L1 penalty."""
    loss = compute_gradient(setup, inputs, targets)
    recorder.measure()
    clipped = clip(setup)
    with torch_may_raise():
        setup.optimizer.step()
    recorder.step(loss, **clipped)
    return loss.detach()
