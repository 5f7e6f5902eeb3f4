"""The client's calls about runs that train elsewhere: sending their histories, at once or while they train, and reading them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradclinic.client.connection import Connection, path_of, read_as
from gradclinic.client.streaming import FINISH_SECONDS, Stream
from gradclinic.client.unsent import send_unsent
from gradclinic.client.upload import upload_history
from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.job import Page, Run, RunKind, RunStatus
from gradclinic.history import History


class RunCalls:
    """The part of `gradclinic.client.Client` that these are."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list_runs(  # noqa: PLR0913 - the filters of the call, each by its keyword
        self,
        *,
        kind: RunKind | None = None,
        status: RunStatus | None = None,
        labels: Mapping[str, str] | None = None,
        name: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[Run]:
        """List runs, those of jobs and external ones, newest first; pass a page's `next_cursor` on for the next one."""
        asked: dict[str, Any] = {"kind": kind, "status": status, "name": name, "cursor": cursor, "limit": limit}
        asked["label"] = [f"{key}:{value}" for key, value in (labels or {}).items()]
        return read_as(Page[Run], self._connection.send("GET", "/v1/runs", params=asked))

    def upload(
        self,
        history: History,
        *,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        thresholds: Mapping[str, float] | None = None,
    ) -> Run:
        """Have a history judged and kept by the service; `run_diagnosis` of the run that comes back tells the findings.

        It goes in chunks, and a service that is restarted meanwhile is waited for.
        """
        return upload_history(self._connection, history, name=name, labels=labels, thresholds=thresholds)

    def upload_unsent(self, path: Path | str) -> Run:
        """Send what a `stream` could not, from the file where that left it, and end its run.

        Raises:
            InvalidHistory: It is no such file, or a damaged one.
            OSError: It cannot be read.
        """
        return send_unsent(self._connection, Path(path))

    def stream(  # noqa: PLR0913 - the choices of the call, each by its keyword
        self,
        *,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        thresholds: Mapping[str, float] | None = None,
        run_id: str | None = None,
        finish_seconds: float = FINISH_SECONDS,
        folder: Path | str | None = None,
    ) -> Stream:
        """Send a history while it is recorded, and have it judged at its end. The training never waits for the service.

            with client.stream(name="nightly") as stream, Recorder(model, optimizer, sink=stream) as recorder:
                ...

        Args:
            name: To find the run by.
            labels: Likewise.
            thresholds: To judge it by, in place of the documented ones.
            run_id: Go on with this run, after the last chunk that the service has of it.
            finish_seconds: How long the end may wait for the service.
            folder: Where what could not be sent by then is kept in a file; the working directory.
        """
        return Stream(
            self._connection,
            name=name,
            labels=labels,
            thresholds=thresholds,
            run_id=run_id,
            finish_seconds=finish_seconds,
            folder=folder,
        )

    def run_diagnosis(self, run_id: str) -> Diagnosis:
        """Read the diagnosis of a run."""
        return read_as(Diagnosis, self._connection.send("GET", path_of("runs", run_id, "diagnosis")))

    def judge_run(self, run_id: str, thresholds: Mapping[str, float]) -> Diagnosis:
        """Have a run's history judged once more, by other thresholds; nothing is trained, and its stored diagnosis stays.

        Args:
            run_id: A run of any kind that has ended.
            thresholds: Overrides by name, on top of the run's own; `GET /v1/rules` lists them.
        """
        body = {"thresholds": dict(thresholds)}
        return read_as(Diagnosis, self._connection.send("POST", path_of("runs", run_id, "diagnosis"), json=body))

    def delete_run(self, run_id: str) -> None:
        """Delete an external run with everything that was recorded of it; a job's run goes with its job."""
        self._connection.send("DELETE", path_of("runs", run_id))
