"""From POST to diagnosis, against the bare training loop of the same spec.

Both are taken in turn, so that a machine that gets slower slows both. The bare loop runs in this process, warm: it
draws the same batches through the same network and optimizer, and neither records, nor evaluates, nor stores. What the
whole takes beyond it is everything that is not training: HTTP, the queue, recording, evaluation, storing, diagnosis.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.results import Aim, Part, Table, spread
from gradclinic.client import Client
from gradclinic.contract.parse import parse_spec
from gradclinic.contract.spec import JobSpec
from gradclinic.training import set_threads
from gradclinic.training.batches import batches
from gradclinic.training.setup import make_setup
from tools.embedded import ROOT, embedded_system

ROUNDS = 9
LIMIT_SECONDS = 1.5
"""What everything beyond the training may take in the embedded system."""
EXAMPLES = ("deep-sigmoid-digits", "healthy-digits", "exploding-normal-init")


def measure(*, quick: bool = False) -> Part:
    """Measure every example."""
    set_threads()
    examples, rounds = (EXAMPLES[:1], 1) if quick else (EXAMPLES, ROUNDS)
    rows, aims = [], []
    with tempfile.TemporaryDirectory(prefix="gradclinic-bench-") as folder, embedded_system(Path(folder)) as url:
        for name in examples:
            # The diagnosis is there before any fix is proven, and the job would go on with that.
            document = json.loads((ROOT / "examples" / f"{name}.json").read_text()) | {"verification": {"fixes": 0}}
            bare, whole = _measure_rounds(document, url, rounds)
            ratios = [w / b for w, b in zip(whole, bare, strict=True)]
            rest = [w - b for w, b in zip(whole, bare, strict=True)]
            rows.append([name, *(spread(values, 2) for values in (bare, whole, ratios, rest))])
            what = f"from POST to diagnosis, {name}: all that is not training"
            aims.append(Aim(what=what, measured=statistics.median(rest), unit="s", at_most=LIMIT_SECONDS))
    headings = ["spec", "bare training, s", "POST to diagnosis, s", "ratio", "not training, s"]
    title = f"From POST to diagnosis in the embedded system, {rounds} interleaved rounds"
    return Part(name="post_to_diagnosis", tables=[Table(title=title, headings=headings, rows=rows)], aims=aims)


def _measure_rounds(document: dict[str, Any], url: str, rounds: int) -> tuple[list[float], list[float]]:
    spec = parse_spec(document)
    bare, whole = [], []
    with Client(url) as client:
        for turn in range(rounds + 1):
            times = _time_bare(spec), _time_whole(document, client)
            if turn > 0:  # the first round warms both up
                bare.append(times[0])
                whole.append(times[1])
    return bare, whole


def _time_bare(spec: JobSpec) -> float:
    setup = make_setup(spec, spec.training.seed)
    stream = batches(
        setup.data.train,
        spec.training.batch_size,
        torch.Generator().manual_seed(0),
        join_single=spec.joins_single,
    )
    began = time.perf_counter()
    for _ in range(setup.steps):
        inputs, targets = next(stream)
        setup.optimizer.zero_grad()
        setup.criterion(setup.network(inputs), targets).backward()  # type: ignore[no-untyped-call]  # PyTorch types it not
        setup.optimizer.step()
    return time.perf_counter() - began


def _time_whole(document: dict[str, Any], client: Client) -> float:
    began = time.perf_counter()
    job = client.submit(document)
    client.wait(job.id)
    client.diagnosis(job.id)
    return time.perf_counter() - began
