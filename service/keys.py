"""API keys: whoever calls /v1 shows one, where any are set."""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.errors import Unauthorized

_bearer = HTTPBearer(auto_error=False, description="An API key, where the service has any set.")


class KeyRing:
    """The keys that open this service, kept as digests; an empty ring is open to all."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._digests = tuple(_digest(key) for key in keys)

    def admits(self, key: str) -> bool:
        """Tell whether the key is one of ours, in a time that does not depend on which or how nearly."""
        given = _digest(key)
        matching = [known for known in self._digests if hmac.compare_digest(given, known)]
        return bool(matching) or not self._digests


async def require_key(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> None:
    """Refuse a request without a known key.

    Raises:
        Unauthorized: The service has keys, and none of them came.
    """
    ring: KeyRing = request.app.state.keys
    if not ring.admits(credentials.credentials if credentials else ""):
        raise Unauthorized("This service wants an API key: send `Authorization: Bearer <key>`.")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
