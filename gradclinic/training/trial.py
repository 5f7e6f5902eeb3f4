"""One training of a proof: a patched spec, or the unchanged one on another seed, ended early where it can no longer win.

What becomes of its result is `gradclinic.trials`' business, which knows no torch.
"""

from __future__ import annotations

import json
import math
import time

import numpy as np

from gradclinic.contract.diagnosis import Diagnosis, Outcome
from gradclinic.contract.limits import DEFAULT_LIMITS, Limits
from gradclinic.contract.parse import parse_spec
from gradclinic.contract.spec import JobSpec
from gradclinic.contract.trial import Score, Trial, TrialResult
from gradclinic.diagnosis import diagnose
from gradclinic.files import Files
from gradclinic.history import History, Trivial
from gradclinic.training.analysis import analyse
from gradclinic.training.loop import Observer, train
from gradclinic.trials.outcome import LEAST_EFFECT, gain_of

HOPELESS_AT = ((1 / 3, 0.02), (1 / 2, 0.10))
"""Shares of the steps, and the skill below which a training is given up there: it stands where a trivial predictor does.

Rungs of successive halving (Jamieson & Talwalkar 2016), but held against what is fixed beforehand instead of against the
other arms, so that no verdict depends on which of them came in first.
"""

FAR_BEHIND = 0.2
"""Skill by which a training that is half over may be behind the baseline at the same share of its steps."""

MOST_SCORES = 100
"""Evaluations that are kept of a training."""


def train_trial(
    trial: Trial,
    baseline: TrialResult,
    *,
    observer: Observer | None = None,
    files: Files | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[History, TrialResult]:
    """Train and judge one trial.

    Args:
        trial: What to train.
        baseline: How the posted spec came out, which it is held against on its way.
        observer: Watches, and can ask to stop.
        files: Where data under a path, or uploaded, are found.
        limits: What a fix of a fix may come to.

    Raises:
        TrainingCancelled: The observer asked to stop.
        InvalidSpec: The data cannot be read, or the layers do not fit together.
        MemoryError: This machine does not have the memory.
    """
    spec = parse_spec(trial.document)
    pinned = spec.model_copy(update={"training": spec.training.model_copy(update={"seed": trial.seed})})
    watch = _Watch(observer or Observer(), baseline, is_control=trial.fix is None)
    started = time.perf_counter()
    history = train(pinned, observer=watch, files=files).history
    seconds = time.perf_counter() - started
    result = result_of(pinned, history, diagnose(history, spec.diagnosis.thresholds), seconds=seconds)
    gain = gain_of(baseline, result)
    is_first_look = trial.fix is not None and trial.seed == baseline.seed
    if is_first_look and not watch.is_hopeless and gain is not None and gain >= LEAST_EFFECT:
        # Something to build on, if anything is left to mend. What that would be costs range tests, which others are spared.
        stop = watch.should_stop
        diagnosis = analyse(trial.document, pinned, history, files=files, limits=limits, should_stop=stop)
        result = result.model_copy(update={"diagnosis": diagnosis})
    update = {"round": trial.round, "fix": trial.fix, "hopeless": watch.is_hopeless}
    return history, result.model_copy(update=update)


def result_of(spec: JobSpec, history: History, diagnosis: Diagnosis, *, seconds: float) -> TrialResult:
    """Return what verdicts need of a training, the baseline's or a trial's.

    An outcome that is not finite, or worse than the trivial predictor's, counts as that one's.
    """
    facts = history.facts
    trivial, outcome = facts.trivial, facts.outcome
    metric = outcome.metric.name if outcome and outcome.metric else None
    value = outcome.metric.value if outcome and outcome.metric else None
    floor = None if metric is None or trivial.metric is None else _score(metric, trivial.metric, trivial)
    found = _score(metric, value, trivial) if metric else None
    score = floor if floor is None or found is None else max(floor, found)
    return TrialResult(
        seed=spec.training.seed,
        metric="mae_skill" if metric == "mae" else metric,
        score=score,
        floor=floor,
        loss=_name_of_loss(spec),
        val_skill=_val_skill(outcome, trivial),
        resolution=1 / facts.judged_samples if metric == "accuracy" and facts.judged_samples else 0.0,
        scores=_scores(history, metric),
        steps=outcome.steps if outcome else 0,
        planned=facts.steps_planned or 0,
        samples=spec.training.batch_size,
        seconds=seconds,
        parameters=facts.parameters or 0,
        diagnosis=diagnosis,
    )


class _Watch(Observer):
    """Passes everything on to another observer, and ends a training that can no longer win."""

    def __init__(self, observer: Observer, baseline: TrialResult, *, is_control: bool) -> None:
        self._observer = observer
        self._baseline = baseline
        # The posted spec is given up on another seed only where it got nowhere on its first: of one that learns the end counts.
        self._rungs = list(HOPELESS_AT) if not is_control or not _has_learned(baseline) else []
        self._is_control = is_control
        self._planned = 0
        self._not_finite = 0
        self.is_hopeless = False

    def on_start(self, planned: int) -> None:
        """Hear how long the training is."""
        self._planned = planned
        self._observer.on_start(planned)

    def on_step(self, done: int) -> None:
        """Pass it on."""
        self._observer.on_step(done)

    def on_chunk(self, part: History) -> None:
        """Pass it on."""
        self._observer.on_chunk(part)

    def should_stop(self) -> bool:
        """Pass the question on."""
        return self._observer.should_stop()

    def should_end(self) -> bool:
        """Say whether it can no longer win."""
        return self.is_hopeless or self._observer.should_end()

    def on_evaluation(self, values: dict[str, float], done: int) -> None:
        """Look where it stands."""
        self._observer.on_evaluation(values, done)
        self._not_finite = 0 if math.isfinite(values["val_loss"]) else self._not_finite + 1
        # Once is a step that may be mended; twice in a row has been seen to be for good.
        if done < self._planned:
            self.is_hopeless = self.is_hopeless or self._not_finite > 1 or self._stands_still(values, done)

    def _stands_still(self, values: dict[str, float], done: int) -> bool:
        skill, share = self._skill(values), done / max(1, self._planned)
        if skill is None:
            return False
        passed = [least for rung, least in self._rungs if share >= rung]
        # Each rung is looked at once, at the first evaluation after it.
        self._rungs = [rung for rung in self._rungs if share < rung[0]]
        if passed and skill < max(passed):
            return True
        return bool(passed) and not self._is_control and self._is_far_behind(skill, share)

    def _is_far_behind(self, skill: float, share: float) -> bool:
        if share < HOPELESS_AT[-1][0]:
            return False
        at_that_share = [s.value for s in self._baseline.scores if s.step <= share * self._baseline.planned]
        floor = self._baseline.floor or 0.0
        best = max(at_that_share, default=floor)
        return (best - floor) / (1 - floor) - skill > FAR_BEHIND

    def _skill(self, values: dict[str, float]) -> float | None:
        """Return the share of the way from a trivial predictor to a perfect one; None where that is not known on the way."""
        metric, floor = self._baseline.metric, self._baseline.floor
        if metric is None or floor is None or floor >= 1 or metric not in values:  # of mae_skill the scale may differ
            return None
        return (max(floor, values[metric]) - floor) / (1 - floor) if math.isfinite(values[metric]) else 0.0


def _has_learned(result: TrialResult) -> bool:
    """Say whether it came to something: not where it ended no better than a trivial predictor, or was ended itself."""
    if result.score is None or result.floor is None:
        return True
    return result.score - result.floor >= HOPELESS_AT[-1][1] * (1 - result.floor)


def _score(metric: str, value: float | None, trivial: Trivial) -> float | None:
    """Return a metric as a number of which more is better; None where it is not finite."""
    if value is None:
        return None
    if metric != "mae":
        return value
    return 1 - value / trivial.metric if trivial.metric else None


def _val_skill(outcome: Outcome | None, trivial: Trivial) -> float | None:
    if trivial.val_loss is None or trivial.val_loss <= 0:
        return None
    value = outcome.val_loss if outcome else None
    return 0.0 if value is None else max(0.0, 1 - value / trivial.val_loss)


def _name_of_loss(spec: JobSpec) -> str:
    """Return what makes two losses comparable: the class, its keywords, and whether the targets were scaled."""
    return json.dumps(spec.loss.model_dump(mode="json") | {"targets": spec.data.normalize_target}, sort_keys=True)


def _scores(history: History, metric: str | None) -> list[Score]:
    """Return the evaluations of the leading metric, evenly thinned; none of mae, whose scale may differ."""
    if metric is None or metric == "mae" or metric not in history:
        return []
    table = history[metric]
    values = table.series()
    kept = np.unique(np.linspace(0, len(values) - 1, min(len(values), MOST_SCORES)).round().astype(int))
    finite = [place for place in kept if np.isfinite(values[place])]
    return [Score(step=int(table.steps[place]) + 1, value=float(values[place])) for place in finite]
