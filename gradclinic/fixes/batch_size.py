"""Take more samples a step, so that a step follows the task more than its few samples.

When it applies:
    A gradient that is mostly noise: the noise scale, the batch at which noise and gradient are equally large, is far above the batch.

What it changes:
    `training.batch_size` to the noise scale, as a power of two, at most sixteen times what it was and an eighth of the training part. Epochs are counted
    anew, so that the number of steps stays. The learning rate stays: raising it with the batch would bring the noise back. Where a range test speaks for
    far less, it comes down to that.

What it costs:
    A step takes up to as many times as long as the batch has grown; vector units hide a part of that.

When it is known not to help:
    Where the noise is in the targets and not in the choice of samples: the loss then stays up whatever the batch. Beyond the noise scale more samples hardly
    change a step.

Source:
    - McCandlish et al. 2018, An empirical model of large-batch training, arXiv:1812.06162
    - Smith et al. 2018, Don't decay the learning rate, increase the batch size, arXiv:1711.00489
"""

from __future__ import annotations

import math

from gradclinic.contract.diagnosis import Finding, FixKind, RuleId
from gradclinic.fixes.candidate import Candidate
from gradclinic.fixes.patch import Operation, set_value
from gradclinic.fixes.posted import Posted
from gradclinic.fixes.rates import and_rate, bring_down, train_rows

KIND: FixKind = "batch_size"
ADDRESSES: tuple[RuleId, ...] = ("noisy_gradient",)

MOST_TIMES = 16
"""Factor of one change, which is also what it may cost."""

SHARE_OF_ROWS = 1 / 8
"""Of the training part, beyond which an epoch has too few steps to speak of."""


def propose(posted: Posted, finding: Finding) -> list[Candidate]:
    """Propose the noise scale as the batch size."""
    now, rows = posted.spec.training.batch_size, train_rows(posted)
    scale = _noise_scale(posted, finding, now)
    if scale is None or rows is None:
        return []
    largest = min(MOST_TIMES * now, SHARE_OF_ROWS * rows)
    size = 2 ** int(math.log2(max(1.0, min(scale, largest))))
    if size < 2 * now:
        return []
    calm = bring_down(posted)
    why = (
        f"A step of {now} samples follows their noise more than the task; the noise falls with the root of the batch, and a batch of "
        f"{size} leaves the learning rate as it is so that it stays that way."
    )
    patch = [*set_value(posted.document, ("training", "batch_size"), size), *_same_steps(posted, size / now), *calm]
    return [Candidate("batch-size", f"Use batches of {size} samples{and_rate(calm)}", patch, why)]


def _noise_scale(posted: Posted, finding: Finding, batch: int) -> float | None:
    """Return the noise scale in samples, as it was measured, else by the finding's evidence."""
    if posted.measured.noise_scale is not None:
        return posted.measured.noise_scale
    over = next((e.value for e in finding.evidence if e.signal == "noise_over_batch" and e.value), None)
    return None if over is None else over * batch


def _same_steps(posted: Posted, times: float) -> list[Operation]:
    epochs = posted.spec.training.epochs
    return [] if epochs is None else set_value(posted.document, ("training", "epochs"), math.ceil(epochs * times))
