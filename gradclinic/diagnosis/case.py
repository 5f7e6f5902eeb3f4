"""What a rule looks at: a history, the thresholds, and what several rules work out from them, once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gradclinic.contract.diagnosis import Severity
from gradclinic.contract.preflight import PreflightFacts
from gradclinic.diagnosis.fate import Fate, fate_of
from gradclinic.diagnosis.gains import Gains, backward_gains
from gradclinic.diagnosis.learning import Learning, judge_learning
from gradclinic.diagnosis.thresholds import thresholds_with
from gradclinic.diagnosis.weighing import spans, weighted_median
from gradclinic.history import WHOLE_STEP, History, LayerFacts, SignalTable
from gradclinic.history.facts import Trivial


class Case:
    """A history under judgement."""

    def __init__(self, history: History, overrides: Mapping[str, float] | None = None) -> None:
        self.history = history
        self.thresholds = thresholds_with(overrides)

    @property
    def preflight(self) -> PreflightFacts | None:
        """What was measured where nothing was trained: there is no outcome, and findings are predictions. None of a training."""
        return self.history.facts.preflight

    @cached_property
    def learning(self) -> Learning:
        """How well the training learned."""
        return judge_learning(self.history)

    @cached_property
    def severity(self) -> Severity:
        """How bad a symptom is that this training had, by how well it learned; in a preflight, that it predicts harm."""
        if self.preflight is not None:
            return "warning"
        return self.learning.severity(self.thresholds)

    @cached_property
    def gains(self) -> Gains | None:
        """The backward gains along the trunk; None where they were not recorded."""
        return backward_gains(self.history)

    @cached_property
    def fate(self) -> Fate | None:
        """The way in which a training that still goes on is lost; None while it is not."""
        return fate_of(self.history, self.gains, self.severity, self.thresholds["vanishing_gain"])

    @property
    def was_ended(self) -> bool:
        """Whether a finding ended the training: what is missing after its last step is not the plan's fault."""
        outcome = self.history.facts.outcome
        return outcome is not None and outcome.stopped_by is not None

    @property
    def sees_all_layers(self) -> bool:
        """Whether the model was built from a spec, so that no activation is hidden in a user's own code."""
        # What a trivial predictor reaches only a training knows that has the data, too; frameworks know the steps planned.
        return self.history.facts.trivial != Trivial()

    @property
    def off_trunk(self) -> list[LayerFacts]:
        """The layers that not every gradient passes through, among them those that are called several times."""
        return [layer for layer in self.history.facts.layers if not layer.on_trunk]

    @cached_property
    def gradient_norms(self) -> npt.NDArray[np.float64]:
        """The norm (n,) of the whole gradient at each record of `grad_norm`; nothing where that was not recorded."""
        return _whole_norms(self.history["grad_norm"]) if "grad_norm" in self.history else np.empty(0)

    @cached_property
    def largest_gradient_norms(self) -> npt.NDArray[np.float64]:
        """The same, of a stretch that is summed up the largest."""
        return _whole_norms(self.history.highest("grad_norm")) if "grad_norm" in self.history else np.empty(0)

    @cached_property
    def weight_updates(self) -> npt.NDArray[np.float64] | None:
        """The update ratios (n, weights) of all weights; None where none was recorded. Biases are left out.

        Biases often start at 0, and any step moves those infinitely far.
        """
        return _of_weights(self.history["update_ratio"]) if "update_ratio" in self.history else None

    @cached_property
    def largest_weight_updates(self) -> npt.NDArray[np.float64] | None:
        """The same, of a stretch that is summed up the largest."""
        return _of_weights(self.history.highest("update_ratio")) if "update_ratio" in self.history else None

    def typical(self, signal: str, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the median of values (n, ...) at the n records of a signal, weighed by the steps that each stands for."""
        return weighted_median(values, spans(self.history[signal].steps, self.history.last_step))

    @cached_property
    def way_of_weights(self) -> float | None:
        """How far the median weight went in all, in sizes of itself: its update ratios, each for as many steps as to the next.

        Of a training that a finding ended, how far it would have gone by its last step.
        """
        ratios = self.weight_updates
        if ratios is None:
            return None
        weights = spans(self.history["update_ratio"].steps, self.history.last_step)
        planned, done = self.history.facts.steps_planned, (self.history.last_step or 0) + 1
        longer = planned / done if self.was_ended and planned is not None else 1.0
        return longer * float(np.median(np.where(np.isfinite(ratios), ratios, 0.0).T @ weights))

    @cached_property
    def start_over_trivial(self) -> float | None:
        """The first loss over that of a predictor which ignores its input; None where there is no such ratio."""
        trivial = self.history.facts.trivial.train_loss
        losses = self.history["loss"].series() if "loss" in self.history else np.empty(0)
        if trivial is None or trivial <= 0 or not len(losses):
            return None
        return float(losses[0]) / trivial

    @property
    def starts_far_off(self) -> bool:
        """Whether the first loss of a classification is far above a trivial predictor's; in a preflight on most of the seeds.

        A network that is sure of nothing holds all classes for equally likely. Where some are rare, that alone costs more than the
        trivial loss, and is no fault.
        """
        over, preflight = self.start_over_trivial, self.preflight
        if self.history.facts.task != "classification" or over is None:
            return False
        trivial = self.history.facts.trivial.train_loss or 1.0
        starts = (
            [over]
            if preflight is None or not preflight.initial_losses
            else [np.inf if one is None else one / trivial for one in preflight.initial_losses]
        )
        if preflight is not None and preflight.losses_without_offset:
            # An offset that all samples share is taken back by the last bias in a few steps.
            centred = [np.inf if one is None else one / trivial for one in preflight.losses_without_offset]
            starts = [min(float(np.median(starts)), float(np.median(centred)))]
        return bool(np.median(starts) > self.thresholds["start_loss"] * self.even_over_trivial)

    @property
    def even_over_trivial(self) -> float:
        """The cross entropy of equal shares over that of the classes' own: ln(classes) over their entropy."""
        targets = self.history.facts.targets
        shares = np.array([share for share in (targets.class_shares if targets else []) if share > 0])
        entropy = float(-(shares @ np.log(shares))) if len(shares) else 0.0
        return float(np.log(len(shares))) / entropy if len(shares) > 1 and entropy > 0 else 1.0

    def largest_update(self, before: int) -> tuple[float, str] | None:
        """Return the largest update of a weight before a step, relative to the weight, and whose it was."""
        if "update_ratio" not in self.history:
            return None
        table = self.history.highest("update_ratio").between(0, before)
        # Biases often start at 0, and any step moves those infinitely far.
        ratios = np.where(np.isfinite(table.values), table.values, -1.0)
        columns = [place for place, name in enumerate(table.subjects) if name.endswith("weight")]
        if not len(table.steps) or not columns:
            return None
        largest = ratios[:, columns].max(axis=0)
        place = int(np.argmax(largest))
        return float(largest[place]), table.subjects[columns[place]]


def _whole_norms(table: SignalTable) -> npt.NDArray[np.float64]:
    # A table of someone else's may have the parameters' norms alone; hypot neither overflows nor underflows.
    return table.series() if WHOLE_STEP in table.subjects else np.hypot.reduce(table.values, axis=1)


def _of_weights(table: SignalTable) -> npt.NDArray[np.float64] | None:
    columns = [place for place, name in enumerate(table.subjects) if "weight" in name.rpartition(".")[2]]
    return table.values[:, columns] if len(table.steps) and columns else None
