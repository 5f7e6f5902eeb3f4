"""The guard of a service without keys: it answers this machine by its own names, and to no page from elsewhere.

A browser on this machine reaches the service too, and runs the pages of strangers. Such a page can point a name of its own
at 127.0.0.1 and read every answer (DNS rebinding), or send a form to it. With keys neither gets anywhere.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import ForeignHost, ForeignOrigin, RequestError
from service.problems import handle_known

HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing. What they answer no other page can read."""


class Guard:
    """Wraps the application; see the module."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        error = _find_foreign(scope["method"], Headers(scope=scope)) if scope["type"] == "http" else None
        if error is None:
            await self.app(scope, receive, send)
        else:
            await handle_known(Request(scope), error)(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Tell whether a name or an address can be reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name: where it leads is not ours to guess


def _find_foreign(method: str, headers: Headers) -> RequestError | None:
    host, origin = headers.get("host", ""), headers.get("origin")
    if not is_loopback(_name_of(host)):
        return ForeignHost(
            f"No API keys are set here, so that only this machine is answered, by its own names; {host[:80]!r} is none. "
            "Call http://127.0.0.1 or http://localhost, or set GRADCLINIC_API_KEYS."
        )
    if method not in HARMLESS and origin is not None and _place_of(origin) != host.lower():
        return ForeignOrigin(
            f"No API keys are set here, so that pages from elsewhere may change nothing; this one is from {origin[:80]!r}."
        )
    return None


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _place_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
