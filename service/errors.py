"""What can be wrong with a request itself, before the domain has seen it. `service.problems` turns these into answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


class NotAcceptable(RequestError):
    """The caller takes none of the forms that there are."""

    code = "not_acceptable"

    def __init__(self, forms: Iterable[str]) -> None:
        super().__init__(f"The Accept header takes none of the forms that there are: {', '.join(forms)}.")


class BodyTooLarge(RequestError):
    """The body is larger than this service reads."""

    code = "body_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is larger than {limit:,} bytes, which is all that is read here.")


class BodyTimeout(RequestError):
    """The body did not arrive in time."""

    code = "body_timeout"


class UploadsFull(RequestError):
    """There is no room for another upload."""

    code = "uploads_full"

    def __init__(self, held: int, wanted: int, limit: int) -> None:
        super().__init__(
            f"All uploads take {held:,} bytes, this one would add {wanted:,}, and {limit:,} may be held. Delete some that are "
            "no longer needed (DELETE /v1/datasets/..., /v1/artifacts/...), or ask whoever runs the service for more."
        )


class ForeignHost(RequestError):
    """The service was called by a name that is not this machine's own."""

    code = "foreign_host"


class ForeignOrigin(RequestError):
    """A page from elsewhere asks for a change."""

    code = "foreign_origin"


class QueueFull(RequestError):
    """There is no room in the queue."""

    code = "queue_full"

    def __init__(self, queued: int, wanted: int, limit: int) -> None:
        more = "another" if wanted == 1 else f"{wanted:,} more"
        super().__init__(
            f"{queued:,} jobs are queued and {limit:,} may be, so that {more} cannot be. "
            "Try again when some have been trained."
        )


class ListenersFull(RequestError):
    """As many streams of events are open as may be."""

    code = "listeners_full"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} streams of events are open, which is all that this service keeps at once. Try again in a moment, or wait "
            "for the job with `GET /v1/jobs/{id}` and `Prefer: wait=N`."
        )


class Unauthorized(RequestError):
    """No API key came, or not one that is known."""

    code = "unauthorized"


class StoreUnavailable(RequestError):
    """The database does not answer."""

    code = "store_unavailable"
