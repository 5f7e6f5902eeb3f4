"""The HTTP client: one method a call of the service, contract objects in and out. Trains nothing and needs no torch."""

from __future__ import annotations

import math
import os
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import TypeAdapter, ValidationError

from gradclinic.contract.diagnosis import Diagnosis, Health
from gradclinic.contract.job import LIVE, Job, JobStatus, Page, Run
from gradclinic.contract.resolved import ResolvedSpec
from gradclinic.errors import Fault, InvalidSpec, RequestFailed, ServiceUnreachable

DEFAULT_URL = "http://127.0.0.1:8000"
"""Where `python -m service` listens when nothing else is said."""

PATIENCE_SECONDS = 1.5
"""How long a single call keeps knocking at a service that is not there: a moment, because a person may be waiting."""

RESTART_SECONDS = 30.0
"""How long `wait` puts up with a service that is gone: long enough for a restart or a new release of it."""

HOLD_SECONDS = 20
"""`Prefer: wait` of one round of `wait`: below the minute after which proxies give up, above what costs anything."""

WATCHED_HOLD_SECONDS = 1
"""The same where somebody watches the progress."""

ROUND_SECONDS = 0.2
"""The shortest round of `wait`, should the service not hold the answer."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_BUSY = frozenset({502, 503, 504})
_WIRE_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

ResultT = TypeVar("ResultT")


class Client:
    """A connection to one service; use it as a context manager, or call `close`.

    Args:
        url: Of the service; `GRADCLINIC_URL`, else `DEFAULT_URL`.
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
        self.url = (url or os.environ.get("GRADCLINIC_URL") or DEFAULT_URL).rstrip("/")
        key = api_key or os.environ.get("GRADCLINIC_API_KEY")
        self._timeout = timeout
        self._http = httpx2.Client(
            headers={"Accept": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})},
            # A proxy of the environment is for the world outside; to this host it would be a detour, or a dead end.
            trust_env=_host_of(self.url) not in _LOOPBACK,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def is_ready(self) -> bool:
        """Tell whether the service answers and can work; never raises, never retries."""
        try:
            return self._http.get(f"{self.url}/readyz", timeout=self._timeout).status_code == httpx2.codes.OK
        except httpx2.TransportError:
            return False

    def workers_seen(self) -> int | None:
        """Count the workers that the service saw lately; None where it does not tell. Never raises, never retries."""
        try:
            answer = self._http.get(f"{self.url}/readyz", timeout=self._timeout)
            told = answer.json() if answer.is_success else None
        except (httpx2.TransportError, ValueError):
            return None
        seen = told.get("workers") if isinstance(told, dict) else None
        return seen if isinstance(seen, int) else None

    def submit(self, document: Mapping[str, Any], *, idempotency_key: str | None = None) -> Job:
        """Post a spec. With the same key and spec, the same job comes back; without a key one is made up, so that a
        request repeated after a lost connection cannot make two jobs.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return _read(Job, self._send("POST", "/v1/jobs", json=document, headers=headers))

    def validate(self, document: Mapping[str, Any]) -> ResolvedSpec:
        """Have a spec checked and its model resolved, without training it.

        Raises:
            InvalidSpec: Something is wrong; `faults` lists every place.
        """
        return _read(ResolvedSpec, self._send("POST", "/v1/specs/validate", json=document))

    def job(self, job_id: str) -> Job:
        """Read a job as it is now."""
        return _read(Job, self._send("GET", _path("jobs", job_id)))

    def jobs(  # noqa: PLR0913 - the filters of the call, each by its keyword
        self,
        *,
        status: JobStatus | None = None,
        health: Health | None = None,
        labels: Mapping[str, str] | None = None,
        name: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[Job]:
        """List jobs, newest first; pass a page's `next_cursor` on to get the next one."""
        asked: dict[str, Any] = {"status": status, "health": health, "name": name, "cursor": cursor, "limit": limit}
        asked["label"] = [f"{key}:{value}" for key, value in (labels or {}).items()]
        return _read(Page[Job], self._send("GET", "/v1/jobs", params=asked))

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
        return _read(Diagnosis, self._send("GET", _path("jobs", job_id, "diagnosis")))

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop; one that has ended stays as it is."""
        return _read(Job, self._send("POST", _path("jobs", job_id, "cancel")))

    def delete(self, job_id: str) -> None:
        """Delete an ended job with everything that was recorded of it."""
        self._send("DELETE", _path("jobs", job_id))

    def runs(self, job_id: str) -> list[Run]:
        """Read a job's runs, the baseline first."""
        return _read(Page[Run], self._send("GET", _path("jobs", job_id, "runs"))).items

    def run(self, run_id: str) -> Run:
        """Read a run as it is now."""
        return _read(Run, self._send("GET", _path("runs", run_id)))

    def history(  # noqa: PLR0913 - the choices of the call, each by its keyword
        self,
        run_id: str,
        *,
        signals: Iterable[str] | None = None,
        layers: Iterable[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
        points: int | None = None,
    ) -> dict[str, Any]:
        """Read a run's signals as the service's JSON has them: `steps`, and `columns` by `<layer>/<signal>`.

        With `points` each column is `min`, `max` and `mean` over so many stretches. NaN and infinities come as floats,
        a value that was not recorded as None.
        """
        asked = {"signals": _joined(signals), "layers": _joined(layers), "start": start, "stop": stop, "points": points}
        answer = _json_of(self._send("GET", _path("runs", run_id, "history"), params=asked))
        columns = answer.get("columns", {}) if isinstance(answer, dict) else None
        if not isinstance(columns, dict):
            raise _not_understood("a history without columns")
        return {**answer, "columns": {name: _with_numbers(column) for name, column in columns.items()}}

    def apply_fix(self, job_id: str, fix_id: str) -> Job:
        """Submit the job's spec with one of its fixes applied, as a job of its own."""
        path = _path("jobs", job_id, "fixes", fix_id, "apply")
        return _read(Job, self._send("POST", path, headers={"Idempotency-Key": str(uuid.uuid4())}))

    def _job_if_changed(self, job_id: str, tag: str | None, hold: int) -> tuple[Job | None, str | None]:
        headers = {"If-None-Match": tag} if tag else {}
        if hold:
            headers["Prefer"] = f"wait={hold}"
        answer = self._send("GET", _path("jobs", job_id), headers=headers, hold=hold, patience=RESTART_SECONDS)
        if answer.status_code == httpx2.codes.NOT_MODIFIED:
            return None, tag
        return _read(Job, answer), answer.headers.get("ETag")

    def _send(  # noqa: PLR0913 - one place for all that requests differ in, each by its keyword
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        hold: float = 0.0,
        patience: float = PATIENCE_SECONDS,
    ) -> httpx2.Response:
        """Send one request, again while the connection is lost and `patience` lasts; return a good answer.

        Every call of the service can be repeated: what makes a job carries an idempotency key.
        """
        asked = {key: value for key, value in (params or {}).items() if value is not None}
        give_up = time.monotonic() + patience
        pause = 0.1
        while True:
            try:
                answer = self._http.request(
                    method, self.url + path, json=json, params=asked, headers=headers, timeout=self._timeout + hold
                )
            except (httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
                if time.monotonic() + pause > give_up:
                    raise self._unreachable(error) from error
            except (httpx2.TransportError, httpx2.InvalidURL) as error:
                raise self._unreachable(error) from error
            else:
                if answer.status_code not in _BUSY or time.monotonic() + pause > give_up:
                    return self._checked(answer)
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def _unreachable(self, error: Exception) -> ServiceUnreachable:
        match error:
            case httpx2.ConnectError() | httpx2.ConnectTimeout():
                what = f"No service answers at {self.url} ({error})."
                todo = "Start one with `python -m service --with-worker`, or say where it is with GRADCLINIC_URL."
            case httpx2.TimeoutException():
                what = f"The service at {self.url} took the connection but did not answer within {self._timeout:g} s."
                todo = "It may be overloaded: try again, or give it a longer timeout."
            case httpx2.UnsupportedProtocol() | httpx2.InvalidURL():
                what = f"{self.url!r} is no address of a service."
                todo = f"It has to look like {DEFAULT_URL}."
            case _:
                what = f"The connection to {self.url} was lost ({type(error).__name__}: {error})."
                todo = "Try again; what was posted may have arrived."
        return ServiceUnreachable(f"{what} {todo}")

    def _checked(self, answer: httpx2.Response) -> httpx2.Response:
        """Return the answer if it is a good one, and raise what it says if it is not."""
        if answer.is_success or answer.status_code == httpx2.codes.NOT_MODIFIED:
            return answer
        if not answer.headers.get("Content-Type", "").startswith("application/problem+json"):
            hint = f" It points to {answer.headers['Location']}." if answer.is_redirect else ""
            raise ServiceUnreachable(
                f"{self.url} answered HTTP {answer.status_code}, but not as gradclinic does.{hint} "
                "Is that the address of the service, and not of something else?"
            )
        problem = _json_of(answer)
        if not isinstance(problem, dict):
            raise _not_understood("a problem that is no object")
        faults = problem.get("errors")
        if answer.status_code == httpx2.codes.UNPROCESSABLE_CONTENT and isinstance(faults, list) and faults:
            raise InvalidSpec([_fault(fault) for fault in faults])
        raise RequestFailed(answer.status_code, problem)


def _host_of(url: str) -> str:
    try:
        return httpx2.URL(url).host
    except httpx2.InvalidURL:  # said in full words by the first request
        return ""


def _path(*parts: str) -> str:
    return "/".join(("/v1", *(quote(part, safe="") for part in parts)))


def _joined(names: Iterable[str] | None) -> str | None:
    return None if names is None else ",".join(names)


def _json_of(answer: httpx2.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise _not_understood("something that is not JSON") from error


def _read(model: type[ResultT], answer: httpx2.Response) -> ResultT:
    """Read an answer as `model`. Fields that this version does not know are left out: a newer service may have more."""
    try:
        return TypeAdapter(model).validate_json(answer.content, extra="ignore")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _not_understood(f"{first['msg']} at {'.'.join(map(str, first['loc'])) or 'the top'}") from error


def _not_understood(what: str) -> ServiceUnreachable:
    return ServiceUnreachable(
        f"The service's answer was not understood: {what}. It may be newer than this client: update gradclinic."
    )


def _fault(fault: Any) -> Fault:
    known = fault if isinstance(fault, dict) else {"detail": fault}
    return Fault(str(known.get("pointer", "")), str(known.get("detail", "")), known.get("expected"))


def _with_numbers(column: Any) -> Any:
    """Replace the wire's words for numbers that JSON does not have by floats."""
    if isinstance(column, dict):
        return {key: _with_numbers(values) for key, values in column.items()}
    if not isinstance(column, list):
        raise _not_understood("a column that is no list")
    try:
        return [_WIRE_NUMBERS[value] if isinstance(value, str) else value for value in column]
    except KeyError as error:
        raise _not_understood(f"the number {error}") from error
