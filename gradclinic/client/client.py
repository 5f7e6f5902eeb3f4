"""The HTTP client: one method a call of the service, contract objects in and out. Trains nothing and needs no torch."""

from __future__ import annotations

import base64
import hashlib
import math
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import httpx2

from gradclinic.client.connection import Connection, path_of, read_as
from gradclinic.client.event_calls import EventCalls
from gradclinic.client.history_calls import HistoryCalls
from gradclinic.client.run_calls import RunCalls
from gradclinic.client.upload import RESTART_SECONDS
from gradclinic.contract.combinations import CHECK_SECONDS
from gradclinic.contract.diagnosis import Diagnosis, Health
from gradclinic.contract.job import LIVE, Job, JobStatus, Page, Run
from gradclinic.contract.resolved import ResolvedSpec
from gradclinic.contract.sweep import Sweep, SweepSummary
from gradclinic.contract.uploaded import UploadedArtifact, UploadedDataset

HOLD_SECONDS = 20
"""`Prefer: wait` of one round of `wait`: below the minute after which proxies give up, above what costs anything."""

WATCHED_HOLD_SECONDS = 1
"""The same where somebody watches the progress."""

ROUND_SECONDS = 0.2
"""The shortest round of `wait`, should the service not hold the answer."""

UPLOAD_SECONDS = 120.0
"""What storing a large upload may take beyond the time of another answer."""


class Client(RunCalls, HistoryCalls, EventCalls):
    """A connection to one service; use it as a context manager, or call `close`.

    Args:
        url: Of the service; `GRADCLINIC_URL`, else `gradclinic.client.connection.DEFAULT_URL`.
        api_key: Sent as a bearer token; `GRADCLINIC_API_KEY`, else none.
        timeout: Seconds one answer may take, apart from what the service was asked to hold it.
        transport: Another way to reach the service, such as `httpx2.WSGITransport` or an own one.

    Every method raises `ServiceUnreachable` without an answer, `InvalidSpec` where the service lists faults, and
    `RequestFailed` for any other problem it reports.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = 30.0,
        *,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        super().__init__(Connection(url, api_key, timeout, transport))
        self.url = self._connection.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._connection.close()

    def is_ready(self) -> bool:
        """Tell whether the service answers and can work; never raises, never retries."""
        return self._connection.is_ready()

    def workers_seen(self) -> int | None:
        """Count the workers that the service saw lately; None where it does not tell. Never raises, never retries."""
        seen = (self._connection.readiness() or {}).get("workers")
        return seen if isinstance(seen, int) else None

    def submit(self, document: Mapping[str, Any], *, idempotency_key: str | None = None) -> Job:
        """Post a spec. With the same key and spec, the same job comes back; without a key one is made up, so that a
        request repeated after a lost connection cannot make two jobs.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return read_as(Job, self._connection.send("POST", "/v1/jobs", json=document, headers=headers))

    def validate(self, document: Mapping[str, Any]) -> ResolvedSpec:
        """Have a spec checked and its model resolved, without training it.

        Raises:
            InvalidSpec: Something is wrong; `faults` lists every place.
        """
        return read_as(ResolvedSpec, self._connection.send("POST", "/v1/specs/validate", json=document))

    def job(self, job_id: str) -> Job:
        """Read a job as it is now."""
        return read_as(Job, self._connection.send("GET", path_of("jobs", job_id)))

    def jobs(  # noqa: PLR0913 - the filters of the call, each by its keyword
        self,
        *,
        status: JobStatus | None = None,
        health: Health | None = None,
        labels: Mapping[str, str] | None = None,
        name: str | None = None,
        sweep: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[Job]:
        """List jobs, newest first; pass a page's `next_cursor` on to get the next one."""
        asked: dict[str, Any] = {"status": status, "health": health, "name": name, "sweep": sweep}
        asked |= {"cursor": cursor, "limit": limit}
        asked["label"] = [f"{key}:{value}" for key, value in (labels or {}).items()]
        return read_as(Page[Job], self._connection.send("GET", "/v1/jobs", params=asked))

    def wait(self, job_id: str, timeout: float | None = None, on_progress: Callable[[Job], None] | None = None) -> Job:
        """Wait until a job has ended, and return it; after `timeout` seconds return it as it is, still live.

        `on_progress` is called with the job at once and whenever it changed. A service that is restarted meanwhile is
        waited for.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        job, tag = self._job_if_changed(job_id, None, 0)
        while True:
            if job is not None:
                known = job
                if on_progress is not None:
                    on_progress(job)
            began = time.monotonic()
            left = deadline - began
            if known.status not in LIVE or left <= 0:
                return known
            longest = HOLD_SECONDS if on_progress is None else WATCHED_HOLD_SECONDS
            job, tag = self._job_if_changed(job_id, tag, int(min(longest, left)))
            if job is None or job.status in LIVE:
                time.sleep(max(0.0, min(began + ROUND_SECONDS, deadline) - time.monotonic()))

    def diagnosis(self, job_id: str) -> Diagnosis:
        """Read the diagnosis of a job's baseline, with its fixes; it is there as soon as the baseline is trained."""
        return read_as(Diagnosis, self._connection.send("GET", path_of("jobs", job_id, "diagnosis")))

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop; one that has ended stays as it is."""
        return read_as(Job, self._connection.send("POST", path_of("jobs", job_id, "cancel")))

    def delete(self, job_id: str) -> None:
        """Delete an ended job with everything that was recorded of it."""
        self._connection.send("DELETE", path_of("jobs", job_id))

    def runs(self, job_id: str) -> list[Run]:
        """Read a job's runs, the baseline first."""
        return read_as(Page[Run], self._connection.send("GET", path_of("jobs", job_id, "runs"))).items

    def run(self, run_id: str) -> Run:
        """Read a run as it is now."""
        return read_as(Run, self._connection.send("GET", path_of("runs", run_id)))

    def apply_fix(self, job_id: str, fix_id: str) -> Job:
        """Submit the job's spec with one of its fixes applied, as a job of its own."""
        path = path_of("jobs", job_id, "fixes", fix_id, "apply")
        return read_as(Job, self._connection.send("POST", path, headers={"Idempotency-Key": str(uuid.uuid4())}))

    def submit_sweep(self, document: Mapping[str, Any], *, idempotency_key: str | None = None) -> Sweep:
        """Post a spec with a `sweep` beside it: one job for each combination of its values. See `submit` for the key."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        # Every combination is checked before the answer comes.
        answer = self._connection.send("POST", "/v1/sweeps", json=document, headers=headers, hold=CHECK_SECONDS)
        return read_as(Sweep, answer)

    def sweep(self, sweep_id: str, *, sort: Literal["posted", "best"] = "posted") -> Sweep:
        """Read a sweep as it is now, with the table that compares its jobs."""
        return read_as(Sweep, self._connection.send("GET", path_of("sweeps", sweep_id), params={"sort": sort}))

    def sweeps(self, *, cursor: str | None = None, limit: int = 50) -> Page[SweepSummary]:
        """List sweeps, newest first; pass a page's `next_cursor` on to get the next one."""
        asked = {"cursor": cursor, "limit": limit}
        return read_as(Page[SweepSummary], self._connection.send("GET", "/v1/sweeps", params=asked))

    def wait_sweep(
        self, sweep_id: str, timeout: float | None = None, on_progress: Callable[[Sweep], None] | None = None
    ) -> Sweep:
        """Wait until all jobs of a sweep have ended; `on_progress` is called with the sweep now and then. See `wait`."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        sweep = self._held_sweep(sweep_id, 0)
        while True:
            if on_progress is not None:
                on_progress(sweep)
            began = time.monotonic()
            left = deadline - began
            if sweep.status != "live" or left <= 0:
                return sweep
            longest = HOLD_SECONDS if on_progress is None else WATCHED_HOLD_SECONDS
            sweep = self._held_sweep(sweep_id, int(min(longest, left)))
            if sweep.status == "live":
                time.sleep(max(0.0, min(began + ROUND_SECONDS, deadline) - time.monotonic()))

    def cancel_sweep(self, sweep_id: str) -> Sweep:
        """Ask all jobs of a sweep to stop; those that have ended stay as they are."""
        return read_as(Sweep, self._connection.send("POST", path_of("sweeps", sweep_id, "cancel")))

    def delete_sweep(self, sweep_id: str) -> None:
        """Delete an ended sweep with its jobs and everything that was recorded of them."""
        self._connection.send("DELETE", path_of("sweeps", sweep_id))

    def upload_dataset(self, path: Path | str, *, name: str | None = None) -> UploadedDataset:
        """Upload a CSV, Parquet or npz file to train on; specs name it by the `id` that comes back.

        The end of the name says what kind of file it is; without a name it is the file's own.

        Raises:
            OSError: The file cannot be read.
        """
        return read_as(UploadedDataset, self._post_file("/v1/datasets", Path(path), name))

    def dataset(self, dataset_id: str) -> UploadedDataset:
        """Read what is known of an uploaded data set."""
        return read_as(UploadedDataset, self._connection.send("GET", path_of("datasets", dataset_id)))

    def datasets(self, *, cursor: str | None = None, limit: int = 50) -> Page[UploadedDataset]:
        """List uploaded data sets, newest first; pass a page's `next_cursor` on to get the next one."""
        asked = {"cursor": cursor, "limit": limit}
        return read_as(Page[UploadedDataset], self._connection.send("GET", "/v1/datasets", params=asked))

    def delete_dataset(self, dataset_id: str) -> None:
        """Delete an uploaded data set that no live job trains on."""
        self._connection.send("DELETE", path_of("datasets", dataset_id))

    def upload_artifact(self, path: Path | str, *, name: str | None = None) -> UploadedArtifact:
        """Upload a model that `gradclinic.export.export_artifact` wrote; specs name it by the `id` that comes back:
        `"model": {"type": "graph", "artifact": id}`. Without a name it is called as the file is.

        Raises:
            OSError: The file cannot be read.
        """
        return read_as(UploadedArtifact, self._post_file("/v1/artifacts", Path(path), name))

    def artifact(self, artifact_id: str) -> UploadedArtifact:
        """Read what is known of an uploaded artifact."""
        return read_as(UploadedArtifact, self._connection.send("GET", path_of("artifacts", artifact_id)))

    def artifacts(self, *, cursor: str | None = None, limit: int = 50) -> Page[UploadedArtifact]:
        """List uploaded artifacts, newest first; pass a page's `next_cursor` on to get the next one."""
        asked = {"cursor": cursor, "limit": limit}
        return read_as(Page[UploadedArtifact], self._connection.send("GET", "/v1/artifacts", params=asked))

    def delete_artifact(self, artifact_id: str) -> None:
        """Delete an uploaded artifact that no live job trains."""
        self._connection.send("DELETE", path_of("artifacts", artifact_id))

    def _post_file(self, address: str, path: Path, name: str | None) -> httpx2.Response:
        with path.open("rb") as content:
            digest = base64.b64encode(hashlib.file_digest(content, "sha256").digest()).decode()
            headers = {
                "Content-Digest": f"sha-256=:{digest}:",
                "Content-Type": "application/octet-stream",
                "Idempotency-Key": str(uuid.uuid4()),
            }
            asked = {"name": name or path.name}
            return self._connection.send(
                "POST", address, content=content, params=asked, headers=headers, hold=UPLOAD_SECONDS
            )

    def _held_sweep(self, sweep_id: str, hold: int) -> Sweep:
        headers = {"Prefer": f"wait={hold}"} if hold else {}
        path = path_of("sweeps", sweep_id)
        return read_as(Sweep, self._connection.send("GET", path, headers=headers, hold=hold, patience=RESTART_SECONDS))

    def _job_if_changed(self, job_id: str, tag: str | None, hold: int) -> tuple[Job | None, str | None]:
        headers = {"If-None-Match": tag} if tag else {}
        if hold:
            headers["Prefer"] = f"wait={hold}"
        answer = self._connection.send(
            "GET", path_of("jobs", job_id), headers=headers, hold=hold, patience=RESTART_SECONDS
        )
        if answer.status_code == httpx2.codes.NOT_MODIFIED:
            return None, tag
        return read_as(Job, answer), answer.headers.get("ETag")
