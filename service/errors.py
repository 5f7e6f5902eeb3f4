"""What can be wrong with a request itself, before the domain has seen it. `service.problems` turns these into answers."""

from __future__ import annotations

from collections.abc import Sequence

from gradclinic.errors import Fault


class RequestError(Exception):
    """Base of a request that HTTP alone already shows to be wrong."""

    code = "bad_request"


class InvalidParameter(RequestError):
    """Something in the query is wrong. `faults` lists every place, from `/query` on."""

    code = "invalid_parameter"

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.pointer}: {fault.detail}" for fault in self.faults))


class UnsupportedContent(RequestError):
    """The body is not sent as plain JSON."""

    code = "unsupported_media_type"


class BodyTooLarge(RequestError):
    """The body is larger than this service reads."""

    code = "body_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is larger than {limit:,} bytes, which is all that is read here.")


class BodyTimeout(RequestError):
    """The body did not arrive in time."""

    code = "body_timeout"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The body did not arrive within {seconds:g} seconds, which is how long it is waited for.")


class ForeignHost(RequestError):
    """The service was called by a name that is not this machine's own."""

    code = "foreign_host"


class ForeignOrigin(RequestError):
    """A page from elsewhere asks for a change."""

    code = "foreign_origin"


class QueueFull(RequestError):
    """As many jobs wait as may."""

    code = "queue_full"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit:,} jobs are queued already, and no more may be. Try again when some have been trained."
        )


class Unauthorized(RequestError):
    """No API key came, or not one that is known."""

    code = "unauthorized"


class StoreUnavailable(RequestError):
    """The database does not answer."""

    code = "store_unavailable"
