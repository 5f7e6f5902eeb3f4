"""Looking at one network, from one seed, as it is before its training: a few batches, and a step on each that is taken back."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gradclinic.contract.preflight import FEWEST_BATCHES, LEAST_SAMPLES, MOST_BATCHES, SHARPNESS_ROWS, AlikeUnits
from gradclinic.contract.training import DEFAULT_STEPS
from gradclinic.history import History, RunError
from gradclinic.model import layer_facts
from gradclinic.recorder import Recorder
from gradclinic.training.batches import batches
from gradclinic.training.depth import gradient_decades, spread_decades, spreads_watched, weight_layers
from gradclinic.training.facts import DROPOUTS, facts_before
from gradclinic.training.raised import RaisedByTorch, torch_may_raise
from gradclinic.training.schedule import Schedule
from gradclinic.training.setup import Setup
from gradclinic.training.sharpness import largest_eigenvalue
from gradclinic.training.step import clip, compute_gradient
from gradclinic.training.symmetry import alike_units

TAKE_LOGITS = frozenset({"CrossEntropyLoss", "BCEWithLogitsLoss"})

MAX_WORDS = 2000
"""Characters of an error of PyTorch's that are kept."""


@dataclass
class Look:
    """What one seed shows. `jumps` holds the loss after each step over the one before it."""

    seed: int
    history: History = field(default_factory=lambda: History({}))
    samples: int = 0
    lr: float | None = None
    without_offset: float | None = None
    jumps: list[float] = field(default_factory=list)
    alike: list[AlikeUnits] = field(default_factory=list)
    still_zero: list[str] = field(default_factory=list)
    spreads: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    gradients: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    sharpness: float | None = None
    error: RunError | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def losses(self) -> npt.NDArray[np.float64]:
        """The loss of each batch, (batches,)."""
        return self.history["loss"].series() if "loss" in self.history else np.empty(0)


class Untrained:
    """A network before its training. `between` is called between batches and products; what it raises ends the look."""

    def __init__(self, setup: Setup, between: Callable[[], None]) -> None:
        self._setup = setup
        self._between = between
        self._look = Look(setup.seed)
        recording = setup.spec.recording
        layers = layer_facts(setup.network)
        self.recorder = Recorder(
            setup.network, setup.optimizer, every=recording.every, signals=recording.signals, layers=layers
        )
        self.recorder.facts = facts_before(setup, self.recorder.facts)
        self._layers = weight_layers(setup.network, layers)
        training = setup.spec.training
        generator = torch.Generator().manual_seed(setup.seed)
        self._stream = batches(setup.data.train, training.batch_size, generator, join_single=setup.spec.joins_single)

    def look(self) -> Look:
        """Take the batches, and measure. What PyTorch raises ends the look, and is a part of it."""
        setup, look = self._setup, self._look
        setup.network.train()
        with _taken_back(setup) as take_back:
            with self.recorder:
                try:
                    self._take_batches(take_back)
                except RaisedByTorch as raised:
                    cause = type(raised.__cause__).__name__
                    look.error = RunError(step=len(look.jumps), type=cause, message=str(raised)[:MAX_WORDS])
            if look.error is None:
                self._find_still_zero()
                take_back()
                self._measure_sharpness()
        look.history = self.recorder.take()
        if look.error is None:
            look.gradients = gradient_decades(look.history, self._layers)
        return look

    def _take_batches(self, take_back: Callable[[], None]) -> None:
        spec = self._setup.spec
        with torch_may_raise():
            # The first rate of a schedule is the same however long it is; OneCycleLR wants to know a length.
            every = self._setup.steps_per_epoch
            Schedule(spec.scheduler, self._setup.optimizer, DEFAULT_STEPS * every, every)
        self._look.lr = float(self._setup.optimizer.param_groups[0]["lr"])
        count = min(MOST_BATCHES, max(FEWEST_BATCHES, -(-LEAST_SAMPLES // spec.training.batch_size)))
        self._measure_spreads()
        for place in range(count):
            take_back()
            self._pass_others(LEAST_SAMPLES // count)
            self._step_on(*self._next(), is_first=place == 0)
        take_back()

    def _next(self) -> tuple[Tensor, Tensor]:
        self._between()
        inputs, targets = next(self._stream)
        self._look.samples += len(inputs)
        return inputs, targets

    @torch.no_grad()
    def _measure_spreads(self) -> None:
        setup = self._setup
        rows = torch.arange(min(len(setup.data.train), max(2, setup.spec.training.batch_size)))
        dropouts = [module for module in setup.network.modules() if isinstance(module, DROPOUTS)]
        for dropout in dropouts:
            dropout.eval()  # what it drops tells samples apart, too
        try:
            with spreads_watched(setup.network, self._layers) as spreads, torch_may_raise():
                outputs = setup.network(setup.data.train.inputs[rows])
                if setup.spec.loss.type in TAKE_LOGITS:
                    centred = outputs - outputs.mean(dim=0, keepdim=True)
                    self._look.without_offset = float(setup.criterion(centred, setup.data.train.targets[rows]))
        finally:
            setup.network.train()
        self._look.spreads = spread_decades(spreads)

    def _pass_others(self, samples: int) -> None:
        """Show the network further samples, in batches no larger than a training's: units are judged by many samples."""
        left = samples - self._setup.spec.training.batch_size
        while left > 0:
            inputs, _ = self._next()
            with torch_may_raise():
                self._setup.network(inputs)  # with a graph, which the recorder takes for a part of the step
            left -= len(inputs)

    def _step_on(self, inputs: Tensor, targets: Tensor, *, is_first: bool) -> None:
        """Take the step that the training would begin with, and see what it does to the loss of the same batch."""
        setup = self._setup
        before = compute_gradient(setup, inputs, targets)
        self.recorder.measure()
        if is_first:
            self._look.alike = alike_units(setup.network, self.recorder.facts.layers)
        clipped = clip(setup)
        with torch_may_raise():
            setup.optimizer.step()
        self.recorder.step(before, **clipped)
        with torch.no_grad(), torch_may_raise():
            after = float(setup.criterion(setup.network(inputs), targets))
        self._look.jumps.append(after / float(before) if float(before) else math.nan)

    def _find_still_zero(self) -> None:
        """Find the weights that get no gradient at all, and none after a step either: behind a last layer that begins as zeros
        there is one then.
        """
        setup = self._setup
        weights = {name: p for name, p in setup.network.named_parameters() if p.requires_grad and p.dim() > 1}
        zero = list(weights)
        try:
            for _ in range(2):
                compute_gradient(setup, *self._next())
                zero = [name for name in zero if not bool(torch.count_nonzero(_gradient_of(weights[name])))]
                if not zero:
                    return
                clip(setup)
                with torch_may_raise():
                    setup.optimizer.step()
        except RaisedByTorch:
            return
        self._look.still_zero = zero

    def _measure_sharpness(self) -> None:
        setup = self._setup
        inputs, targets = setup.data.train.inputs, setup.data.train.targets
        rows = torch.arange(min(len(setup.data.train), max(SHARPNESS_ROWS, setup.spec.training.batch_size)))
        parameters = [parameter for parameter in setup.network.parameters() if parameter.requires_grad]
        try:
            found = largest_eigenvalue(
                lambda: setup.criterion(setup.network(inputs[rows]), targets[rows]),
                parameters,
                torch.Generator().manual_seed(setup.seed),
                between=self._between,
            )
        except RaisedByTorch as raised:
            words = next(iter(str(raised).splitlines()), "")[:200]
            self._look.notes.append(
                f"The sharpness is not known: the loss cannot be differentiated twice. {words}".strip()
            )
            return
        self._look.sharpness = found if math.isfinite(found) else None


def _gradient_of(parameter: Tensor) -> Tensor:
    return torch.zeros(()) if parameter.grad is None else parameter.grad


@contextmanager
def _taken_back(setup: Setup) -> Iterator[Callable[[], None]]:
    """Give a function that puts weights, buffers and optimizer back to what they are now."""
    kept = {name: value.clone() for name, value in setup.network.state_dict().items()}
    of_optimizer = copy.deepcopy(setup.optimizer.state_dict())

    def take_back() -> None:
        setup.network.load_state_dict(kept)
        setup.optimizer.load_state_dict(of_optimizer)

    try:
        yield take_back
    finally:
        take_back()
        setup.optimizer.zero_grad()
