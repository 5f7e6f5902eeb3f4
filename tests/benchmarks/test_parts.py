"""The parts run, at a size at which what they measure says nothing. A tool that is not installed is a row, not the end."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from benchmarks import accelerator, interleave, judging, overview, recording, writing
from benchmarks.__main__ import run_part
from benchmarks.held import held_bytes
from benchmarks.models import Training, tiny_subjects
from benchmarks.rival_stores import RIVAL_STORES
from benchmarks.rival_watchers import RIVALS, naive_loop
from benchmarks.walks import walk_chunks
from benchmarks.watchers import bare
from benchmarks.watchers import recording as recorded


@pytest.fixture(autouse=True)
def threads():
    """A part sets PyTorch's threads; other tests want theirs."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_rivals(monkeypatch: pytest.MonkeyPatch):
    """Other tools are in the benchmarks' own environment; a test sees none of them."""
    for name in ("wandb", "mlflow", "tensorboard", "lightning"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.slow
@pytest.mark.usefixtures("no_rivals")
def test_recording_is_measured_on_every_model_and_a_missing_tool_is_named():
    part = recording.measure(quick=True)

    ratios, shares, *_ = part.tables
    rows = {row[0]: row[1:] for row in ratios.rows}
    assert set(rows) == {*recording.OURS, *RIVALS}
    assert "failed" not in rows[recording.DEFAULT]
    assert set(rows["wandb.watch, every step"]) == {"failed"}
    assert any("wandb" in note and "failed: ModuleNotFoundError" in note for note in part.notes)
    assert [row[0] for row in shares.rows] == list(recording.OURS)
    assert len(part.aims) == len(tiny_subjects()) + 1
    assert all(aim.measured is not None for aim in part.aims)


@pytest.mark.usefixtures("no_rivals")
def test_writing_goes_through_the_real_store(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GRADCLINIC_TEST_DATABASE_URL", raising=False)

    part = writing.measure(quick=True)

    rows = {row[0]: row[1:] for row in part.tables[0].rows}
    assert rows["gradclinic's store on SQLite"][2] == f"{3 * 40 * 8}"
    assert all(rows[rival][0] == "failed" for rival in RIVAL_STORES)
    assert any("PostgreSQL: not measured" in note for note in part.notes)
    assert {aim.what: aim.verdict for aim in part.aims}["writing to PostgreSQL"] == "not measured"


@pytest.mark.usefixtures("no_rivals")
def test_a_database_that_does_not_answer_is_named_and_the_rest_is_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADCLINIC_TEST_DATABASE_URL", "postgresql+psycopg://postgres@127.0.0.1:1/postgres")

    part = writing.measure(quick=True)

    rows = {row[0]: row[1:] for row in part.tables[0].rows}
    assert rows["gradclinic's store on PostgreSQL"][0] == "failed"
    assert rows["gradclinic's store on SQLite"][0] != "failed"
    assert any("PostgreSQL: failed: OperationalError" in note for note in part.notes)


@pytest.mark.slow
def test_an_overview_is_asked_of_a_real_service(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GRADCLINIC_TEST_DATABASE_URL", raising=False)

    part = overview.measure(quick=True)

    assert [row[0] for row in part.tables[0].rows] == ["SQLite, JSON", "SQLite, Arrow"]
    assert all(aim.measured is not None for aim in part.aims if "SQLite" in aim.what)


@pytest.mark.slow
def test_a_diagnosis_is_asked_of_a_real_service(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GRADCLINIC_TEST_DATABASE_URL", raising=False)

    part = judging.measure(quick=True)

    assert [row[0] for row in part.tables[0].rows] == ["SQLite"]
    assert all(aim.measured is not None for aim in part.aims if "SQLite" in aim.what)
    assert any("PostgreSQL: not measured" in note for note in part.notes)


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    part = accelerator.measure()

    assert part.notes == ["not measured: no GPU here"]
    assert {aim.verdict for aim in part.aims} == {"not measured"}


@pytest.mark.slow
def test_what_makes_the_host_wait_is_counted(tiny: Training):
    """On the CPU there is no device to wait for, but an `.item()` is the same event."""
    waits = accelerator.count_events(tiny, naive_loop)["aten::_local_scalar_dense"]

    assert waits >= accelerator.PROFILED * len(list(tiny.model.parameters()))
    assert sum(accelerator.count_events(tiny, bare).values()) == 0


def test_a_part_that_raises_is_said_to_have_failed(monkeypatch: pytest.MonkeyPatch):
    def fail(*, quick: bool) -> None:
        raise OSError(f"no disk, quick {quick}")

    monkeypatch.setitem(run_part.__globals__["PARTS"], "writing", fail)

    part = run_part("writing", quick=True)

    assert part.failed
    assert part.notes == ["failed: OSError: no disk, quick True"]


@pytest.fixture
def tiny() -> Training:
    return tiny_subjects()[0].make()


@pytest.mark.parametrize("attach", [recorded(), naive_loop], ids=["ours", "naive"])
def test_watching_changes_no_weight_and_leaves_no_hook(tiny: Training, attach: interleave.Attach):
    plain, observed = tiny.twin(), tiny.twin()
    with bare(plain) as nothing, attach(observed) as watch:
        interleave.take_steps(plain, nothing, 5)
        interleave.take_steps(observed, watch, 5)

    for one, other in zip(plain.model.parameters(), observed.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not any(module._forward_hooks for module in observed.model.modules())


def test_rounds_take_the_steps_that_are_planned(tiny: Training):
    timed = interleave.interleave(tiny, recorded(), interleave.Turns(rounds=2, block=3, turns=2, skip=1), {})

    assert len(timed.bare) == len(timed.watched) == len(timed.inside) == 2
    assert all(0 < inside < watched for inside, watched in zip(timed.inside, timed.watched, strict=True))
    assert all(share > 1 for share in timed.shares)


def test_a_round_closes_a_chunk_and_holds_whole_periods():
    plan = recording._usual_turns(tiny_subjects()[0])

    assert plan.block * plan.turns >= recording.CHUNK_STEPS
    assert all(plan.block % every == 0 for every in recording.schedule_of().values() if every)
    assert plan.skip >= recording.DENSE_STEPS


def test_what_is_held_is_counted_once_and_nothing_foreign():
    foreign = torch.zeros(1000)
    shared = np.zeros(100)
    size = held_bytes({"arrays": [shared, shared, shared[:50]], "foreign": foreign}, foreign=(foreign,))

    assert 800 < size < 2000


def test_the_walk_is_float32_in_chunks_that_follow_each_other():
    chunks = list(walk_chunks(("grad_norm", "weight_norm"), 4, 300))

    assert np.concatenate([chunk["grad_norm"].steps for chunk in chunks]).tolist() == list(range(300))
    for chunk in chunks:
        values = chunk["weight_norm"].values
        assert values.shape[1] == 4
        assert np.array_equal(values, values.astype(np.float32))
    again = next(walk_chunks(("grad_norm", "weight_norm"), 4, 300))
    assert np.array_equal(again["grad_norm"].values, chunks[0]["grad_norm"].values)
