"""A system under test: its database, and its service and workers as processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.testing
import redis
from sqlalchemy import select

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.job import LIVE, Job, Run
from gradclinic.contract.parse import parse_spec
from gradclinic.history import History
from store.bell import QUEUE, Bell
from store.diagnoses import find_diagnosis
from store.engine import make_engine
from store.histories import read_history
from store.jobs import add_job, find_job, request_cancel
from store.runs import baseline_of, runs_of_job
from store.settings import Settings
from store.tables import jobs, runs
from store.transactions import Store

ROOT = Path(__file__).parents[2]

FAST = {
    "GRADCLINIC_LEASE_SECONDS": "2",
    "GRADCLINIC_REANNOUNCE_SECONDS": "1",
    "GRADCLINIC_MAX_ATTEMPTS": "5",
    "OMP_NUM_THREADS": "1",
}
"""So that what takes a while in production takes a moment here."""

START_SECONDS = 60.0
"""How long a process may take to be ready on a machine that is busy."""


def spec(steps: int, *, width: int = 16, depth: int = 1, seed: int = 0) -> dict[str, Any]:
    """Return a spec whose training takes about as long as its steps say, and of which nothing is proven."""
    hidden = [{"type": "Linear", "out_features": width}, {"type": "Tanh"}]
    return {
        "model": {
            "layers": [{"type": "Repeat", "times": depth, "layers": hidden}, {"type": "Linear", "out_features": 10}]
        },
        "data": {"type": "digits"},
        "loss": {"type": "CrossEntropyLoss"},
        "optimizer": {"type": "SGD", "lr": 0.05},
        "training": {"steps": steps, "seed": seed},
        "verification": {"fixes": 0},
    }


def sick_spec(steps: int = 60) -> dict[str, Any]:
    """Return a spec that gets nowhere, with fixes to prove: some trials that take as long as their steps say."""
    turn = [{"type": "Linear", "out_features": 16}, {"type": "Sigmoid"}]
    return spec(steps) | {
        "model": {"layers": [{"type": "Repeat", "times": 8, "layers": turn}, {"type": "Linear", "out_features": 3}]},
        "data": {"type": "iris"},
        "optimizer": {"type": "SGD", "lr": 0.1},
        "verification": {"fixes": 1},
    }


def long_spec(seed: int = 0) -> dict[str, Any]:
    """Return a spec that trains for some seconds: long enough to do something to it meanwhile."""
    return spec(1600, width=32, depth=12, seed=seed)


class Process:
    """A process that a test started, in a group of its own."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        self._terminated_at = 0
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def is_running(self) -> bool:
        return self.popen.poll() is None

    def said(self, words: str) -> bool:
        return words in self.log.read_text(errors="replace")

    def said_while_ending(self, words: str) -> bool:
        """Look only at what came since `terminate`: workers are shared, and an earlier test may have killed a child."""
        return words in self.log.read_bytes()[self._terminated_at :].decode(errors="replace")

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-6000:]

    def finished_jobs(self) -> list[str]:
        """Return the ids of the jobs whose baselines this worker trained to their end, as often as it did."""
        return [line["job_id"] for line in self._finished() if line["kind"] == "baseline"]

    def finished_trials(self) -> list[tuple[str, str]]:
        """Return the ids of job and run of the trials that this worker trained to their end, as often as it did."""
        return [(line["job_id"], line["run_id"]) for line in self._finished() if line["kind"] == "trial"]

    def _finished(self) -> list[dict[str, Any]]:
        lines = (json.loads(line) for line in self.log.read_text(errors="replace").splitlines() if line.startswith("{"))
        return [line for line in lines if line["event"] == "run_left" and line["ending"] == "finished"]

    def children(self) -> list[int]:
        """Return the process ids of the pool's children."""
        task = Path(f"/proc/{self.popen.pid}/task")
        pids = " ".join((thread / "children").read_text() for thread in task.iterdir()).split()
        return [int(pid) for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def terminate(self) -> float:
        """Ask it to end as an operator does, wait for that, and return how many seconds it took."""
        began = time.monotonic()
        self._terminated_at = self.log.stat().st_size
        self.popen.terminate()
        self.popen.wait(20)
        return time.monotonic() - began

    def kill(self) -> None:
        """End the process and its children with SIGKILL, all at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(20)


class System:
    """One database with the processes that work on it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.environment = {**FAST, "GRADCLINIC_DATA_DIR": str(settings.data_dir)}
        if settings.database_url is not None and settings.broker_url is not None:
            self.environment |= {
                "GRADCLINIC_DATABASE_URL": settings.database_url,
                "GRADCLINIC_BROKER_URL": settings.broker_url,
                "GRADCLINIC_BROKER_PREFIX": settings.broker_prefix,
            }
        self.store = Store(make_engine(self.settings.database))
        self.bell = Bell(self.settings.broker_url, self.settings.broker_prefix)
        self.processes: list[Process] = []
        self._service: tuple[Process, str] | None = None
        self._workers: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
        self.bell.close()
        self.store.close()

    # Processes

    def workers(self) -> list[Process]:
        """Return two workers with one slot each, warm; those that a test has ended are replaced."""
        self._workers = [worker for worker in self._workers if worker.is_running]
        new = [self.start("worker", "--concurrency", "1") for _ in range(2 - len(self._workers))]
        for worker in new:
            wait_until(lambda worker=worker: worker.said("child_ready"), START_SECONDS)
        self._workers += new
        return self._workers

    def end_workers(self) -> None:
        """End the workers that there are, for a test that needs others. The next test starts new ones."""
        for worker in self._workers:
            worker.kill()

    def url(self) -> str:
        """Return the URL of the service, started at the first use on a free port."""
        if self._service is None:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            process = self.start("service", "--port", str(port))
            wait_until(lambda: process.said("listening"), START_SECONDS)
            self._service = process, f"http://127.0.0.1:{port}"
        return self._service[1]

    def start(self, *arguments: str, **environment: str) -> Process:
        log = self.settings.data_dir / f"{arguments[0]}-{len(self.processes)}.log"
        self.processes.append(Process(list(arguments), self.environment | environment, log))
        return self.processes[-1]

    # Jobs

    def post(self, document: dict[str, Any]) -> str:
        """Do what the service does for a POST: add the job, and ring after the commit."""
        parsed = parse_spec(document)
        with self.store.writing() as writer:
            job = add_job(writer, document=document, spec=parsed, steps=parsed.training.total_steps(0))
            writer.after_commit(lambda: self.bell.ring(job.id))
        return job.id

    def job(self, job_id: str) -> Job:
        with self.store.reading() as reader:
            return find_job(reader, job_id)

    def runs(self, job_id: str) -> list[Run]:
        with self.store.reading() as reader:
            return runs_of_job(reader, job_id)

    def diagnosis(self, job_id: str) -> Diagnosis:
        with self.store.reading() as reader:
            return find_diagnosis(reader, baseline_of(reader, job_id).id)

    def history(self, job_id: str) -> History:
        with self.store.reading() as reader:
            return read_history(reader, baseline_of(reader, job_id).id)

    def wait_for_end(self, job_id: str, seconds: float = 60.0) -> Job:
        wait_until(lambda: self.job(job_id).status not in LIVE, seconds)
        return self.job(job_id)

    def wait_for_step(self, job_id: str, step: int, seconds: float = 60.0) -> None:
        """Wait until a training has come this far."""
        wait_until(lambda: self.job(job_id).status == "training" and self.job(job_id).progress.step >= step, seconds)

    def worker_of(self, job_id: str, workers: list[Process]) -> tuple[Process, int]:
        """Return a worker that holds a run of a job, and the process id of the child that trains it."""
        with self.store.reading() as reader:
            held = select(runs.c.worker).where(runs.c.job_id == job_id, runs.c.status == "training").limit(1)
            name = reader.connection.execute(held).scalar_one()
        child = int(name.rpartition(":")[2])
        return next(worker for worker in workers if child in worker.children()), child

    def hold_the_slots(self) -> list[str]:
        """Keep both workers busy for some seconds, and return the ids of the jobs that do so."""
        self.workers()
        job_ids = [self.post(long_spec(seed)) for seed in range(2)]
        for job_id in job_ids:
            self.wait_for_step(job_id, 1)
        return job_ids

    def cancel_all(self) -> None:
        """Cancel what is live, and wait until it is not."""
        with self.store.reading() as reader:
            live = list(reader.connection.execute(select(jobs.c.id).where(jobs.c.status.in_(LIVE))).scalars())
        for job_id in live:
            with self.store.writing() as writer:
                request_cancel(writer, job_id)
        for job_id in live:
            self.wait_for_end(job_id)

    def forget_messages(self) -> int:
        """Delete every key of this system in Redis; return how many messages waited."""
        if self.settings.broker_url is None:
            return 0
        with redis.Redis.from_url(self.settings.broker_url) as client:
            waiting = int(client.llen(f"{self.settings.broker_prefix}{QUEUE}"))
            if keys := list(client.scan_iter(f"{self.settings.broker_prefix}*")):
                client.delete(*keys)
            return waiting


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition; fail when it takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {seconds} seconds"
        time.sleep(0.02)


def assert_every_step_once(history: History, steps: int) -> None:
    """Check that what is recorded at every step is there for each step, once and in order."""
    for signal_name in ("loss", "lr"):
        np.testing.assert_array_equal(history[signal_name].steps, np.arange(steps), err_msg=signal_name)


def assert_same_bits(one: History, other: History) -> None:
    """Check that two histories hold the same numbers, bit for bit."""
    assert sorted(one.tables) == sorted(other.tables)
    for name, table in one.tables.items():
        twin = other.tables[name]
        assert table.subjects == twin.subjects
        numpy.testing.assert_array_equal(table.steps, twin.steps)
        assert table.values.tobytes() == twin.values.tobytes(), name
