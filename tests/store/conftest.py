"""Jobs to put into a store, and the attempts at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gradclinic.contract.job import Job
from gradclinic.contract.parse import parse_spec
from gradclinic.history import History, SignalTable
from store.claim import Claim
from store.jobs import add_job
from store.transactions import Store
from tests.attempts import claim_baseline

DOCUMENT: dict[str, Any] = {
    "model": {"layers": [{"type": "Linear", "out_features": 3}]},
    "data": {"type": "iris"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
    "training": {"steps": 120, "seed": 4294967295},
}


@pytest.fixture
def post_job(store: Store) -> Callable[..., Job]:
    """Post a job, with whatever else its document shall hold."""

    def post(**more: Any) -> Job:
        document = DOCUMENT | more
        with store.writing() as writer:
            return add_job(writer, document=document, spec=parse_spec(document), steps=120)

    return post


@pytest.fixture
def claim(store: Store) -> Callable[..., Claim]:
    """Claim a queued job, by default for a minute."""

    def take(job: Job, lease_seconds: float = 60.0) -> Claim:
        with store.writing() as writer:
            claim = claim_baseline(writer, job.id, lease_seconds=lease_seconds)
        assert claim is not None
        return claim

    return take


def _as_float32(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return values.astype(np.float32).astype(np.float64)


@pytest.fixture
def part_of() -> Callable[..., History]:
    """Make the part of a history from one step to before another, with every kind of number in it."""

    def part(start: int, stop: int, every: int = 1) -> History:
        generator = np.random.default_rng(start)
        steps = np.arange(start, stop, dtype=np.int64)
        norms = generator.lognormal(0, 40, (len(steps), 3))
        norms[::3, 0], norms[1::3, 1], norms[2::3, 2] = np.nan, np.inf, -np.inf
        rare = steps[steps % every == 0]
        return History(
            {
                "grad_norm": SignalTable(steps, ("layers.0.weight", "layers.0.bias", "layers.2[7].weight"), norms),
                "loss": SignalTable(steps, ("",), _as_float32(generator.normal(size=(len(steps), 1)))),
                "val_loss": SignalTable(rare, ("",), generator.normal(size=(len(rare), 1))),
            }
        )

    return part
