"""The connection to one service: sends requests, knocks again while it is gone, and turns problems into errors.

What can be asked is `gradclinic.client`'s business.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import TypeAdapter, ValidationError

from gradclinic.errors import Fault, InvalidSpec, RequestFailed, ServiceUnreachable

DEFAULT_URL = "http://127.0.0.1:8000"
"""Where `python -m service` listens when nothing else is said."""

PATIENCE_SECONDS = 1.5
"""How long a single call keeps knocking at a service that is not there: a moment, because a person may be waiting."""

SILENCE_SECONDS = 40.0
"""How long a stream of events may be silent: the service gives a sign of life every 15 seconds."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_BUSY = frozenset({502, 503, 504})

ResultT = TypeVar("ResultT")


class Connection:
    """A connection to one service; see `gradclinic.client.Client` for its arguments and errors."""

    def __init__(
        self, url: str | None, api_key: str | None, timeout: float, transport: httpx2.BaseTransport | None
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

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def is_ready(self) -> bool:
        """Tell whether the service answers and can work; never raises, never retries."""
        return self.readiness() is not None

    def readiness(self) -> dict[str, Any] | None:
        """Return what the service says of itself, None where it is not ready; never raises, never retries."""
        try:
            answer = self._http.get(f"{self.url}/readyz", timeout=self._timeout)
            told = answer.json() if answer.is_success else None
        except httpx2.TransportError:
            return None
        except ValueError:
            return {}
        return {} if answer.is_success and not isinstance(told, dict) else told

    def send(  # noqa: PLR0913 - one place for all that requests differ in, each by its keyword
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: IO[bytes] | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        hold: float = 0.0,
        patience: float = PATIENCE_SECONDS,
    ) -> httpx2.Response:
        """Send one request, again while the connection is lost and `patience` lasts; return a good answer.

        Every call of the service can be repeated: what makes something carries an idempotency key, and the `content`
        of a file is sent from its start again.
        """
        asked = {key: value for key, value in (params or {}).items() if value is not None}
        give_up = time.monotonic() + patience
        pause = 0.1
        while True:
            try:
                answer = self._http.request(
                    method,
                    self.url + path,
                    json=json,
                    content=_from_start(content),
                    params=asked,
                    headers=headers,
                    timeout=self._timeout + hold,
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

    @contextmanager
    def receive(
        self, path: str, *, params: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Ask for something long, and give a good answer piece by piece while it comes; nothing is repeated."""
        asked = {key: value for key, value in (params or {}).items() if value is not None}
        try:
            with self._http.stream(
                "GET", self.url + path, params=asked, headers=headers, timeout=self._timeout
            ) as answer:
                if not answer.is_success:
                    answer.read()
                yield self._checked(answer).iter_bytes()
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            raise self._unreachable(error) from error

    def listen(self, path: str, last_event_id: str) -> Iterator[httpx2.ServerSentEvent]:
        """Yield the events of a stream from after the last one that is known, until it ends; nothing is repeated.

        Raises:
            httpx2.TransportError: The connection was lost, or the service is not ready for another listener: try again.
        """
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        with self._http.sse(self.url + path, headers=headers, timeout=max(self._timeout, SILENCE_SECONDS)) as source:
            answer = source.response
            if answer.status_code in _BUSY:
                raise httpx2.ReadError(f"HTTP {answer.status_code}")
            if answer.status_code == httpx2.codes.OK:
                yield from source
            elif answer.status_code != httpx2.codes.NO_CONTENT:
                answer.read()
                self._checked(answer)

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
        problem = json_of(answer)
        if not isinstance(problem, dict):
            raise not_understood("a problem that is no object")
        faults = problem.get("errors")
        if answer.status_code == httpx2.codes.UNPROCESSABLE_CONTENT and isinstance(faults, list) and faults:
            raise InvalidSpec([_fault(fault) for fault in faults])
        raise RequestFailed(answer.status_code, problem)


def _from_start(content: IO[bytes] | None) -> IO[bytes] | None:
    if content is not None:
        content.seek(0)
    return content


def _host_of(url: str) -> str:
    try:
        return httpx2.URL(url).host
    except httpx2.InvalidURL:  # said in full words by the first request
        return ""


def path_of(*parts: str) -> str:
    """Return the address of something under /v1, each part escaped.

    Raises:
        ValueError: An id is missing.
    """
    if not all(isinstance(part, str) for part in parts):
        raise ValueError(
            "An id is missing. A stream that never reached the service has none: what it recorded is in the file that it told "
            "of, and `gradclinic upload FILE` sends it."
        )
    return "/".join(("/v1", *(quote(part, safe="") for part in parts)))


def json_of(answer: httpx2.Response) -> Any:
    """Return an answer's JSON."""
    try:
        return answer.json()
    except ValueError as error:
        raise not_understood("something that is not JSON") from error


def read_as(model: type[ResultT], answer: httpx2.Response) -> ResultT:
    """Read an answer as `model`. Fields that this version does not know are left out: a newer service may have more."""
    try:
        return TypeAdapter(model).validate_json(answer.content, extra="ignore")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise not_understood(f"{first['msg']} at {'.'.join(map(str, first['loc'])) or 'the top'}") from error


def not_understood(what: str) -> ServiceUnreachable:
    """Make the error for an answer that came, but is not what it should be."""
    return ServiceUnreachable(
        f"The service's answer was not understood: {what}. It may be newer than this client: update gradclinic."
    )


def _fault(fault: Any) -> Fault:
    known = fault if isinstance(fault, dict) else {"detail": fault}
    return Fault(str(known.get("pointer", "")), str(known.get("detail", "")), known.get("expected"))
