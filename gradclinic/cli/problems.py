"""Failures as documents for programs: what `--json` prints where there is no result. The form is the service's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradclinic.contract.job import Job
from gradclinic.errors import Conflict, Fault, GradclinicError, InvalidSpec, NotFound, RequestFailed, ServiceUnreachable

_QUERY = "/query/"


class NotFinished(GradclinicError):
    """The time that the caller gave was not enough."""

    code = "not_finished"


class TorchMissing(GradclinicError):
    """What was asked for needs torch in this process, and it is not installed."""

    code = "torch_missing"


def problem(
    code: str, title: str, detail: str, status: int | None = None, faults: Sequence[Fault] = ()
) -> dict[str, Any]:
    """Make a problem document (RFC 9457). `status` is that of HTTP, None where it has none for what happened."""
    return {
        "type": f"urn:gradclinic:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "errors": [{"pointer": f.pointer, "detail": f.detail, "expected": f.expected} for f in faults],
    }


def problem_of(error: GradclinicError) -> dict[str, Any]:
    """Write an error as a problem; one that the service reported stays as it came."""
    words = str(error)
    match error:
        case RequestFailed():
            return problem(error.code, "The service refused", words, error.status) | error.problem
        case ServiceUnreachable():
            return problem(error.code, "The service was not reached", words)
        case InvalidSpec() if all(fault.pointer.startswith(_QUERY) for fault in error.faults):
            return problem("invalid_parameter", "A parameter is not valid", words, 422, error.faults)
        case InvalidSpec():
            return problem(error.code, "The document is not valid", words, 422, error.faults)
        case NotFound():
            return problem(error.code, "Not found", words, 404)
        case Conflict():
            return problem(error.code, "Not in this state", words, 409)
        case NotFinished():
            return problem(error.code, "Not finished in time", words)
        case _:
            return problem(error.code, "It could not be done", words)


def problem_of_job(job: Job) -> dict[str, Any]:
    """Say why a job has no diagnosis: it failed, it was cancelled, or it goes on."""
    if job.error is not None:
        return problem(job.error.type, job.error.title, job.error.detail)
    if job.status == "cancelled":
        return problem("cancelled", "The job was cancelled", f"Job {job.id} was cancelled.")
    return problem("not_finished", "Not finished in time", f"Job {job.id} is {job.status}; it goes on.")
