"""The errors of the domain. They know nothing of HTTP: the service keeps one table from error to status.

GradclinicError
├── InvalidSpec              what was posted is wrong; `faults` lists every place
├── InvalidHistory           a history that cannot be read, or lacks what was asked of it
├── NotExportable            a PyTorch module that cannot be made an artifact
├── NotFound                 no such job, run, sweep, fix or upload
├── Conflict                 right request, wrong moment
│   ├── DiagnosisNotReady    the baseline is not trained yet: ask again later
│   ├── NoDiagnosis          the job ended without one
│   ├── JobIsLive            a live job cannot be deleted
│   ├── RunEnded             an external run that has ended takes nothing more
│   ├── ChunkOutOfOrder      a chunk of a history left one out, or came twice with other content
│   ├── RunBelongsToJob      a job's run is written by workers, and goes with its job
│   └── UploadInUse          what a live job trains on cannot be deleted
│       ├── DatasetInUse     a data set
│       └── ArtifactInUse    an artifact
├── RunsFull                 there is no room for what an external run wants to add
├── KeyReused                an idempotency key that came with another body before
├── LeaseLost                another attempt holds the job now: stop, and write nothing
├── TrainingCancelled        the user asked a running training to stop
└── ServiceUnreachable       the client got no answer, or not one of this service
    └── RequestFailed        the service answered with a problem
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fault:
    """One wrong place in a document: its JSON pointer (RFC 6901), what is wrong, and what would be right."""

    pointer: str
    detail: str
    expected: str | None = None


class GradclinicError(Exception):
    """Base of all errors that this project raises on purpose; `code` is stable and meant for programs."""

    code = "error"


class InvalidSpec(GradclinicError):
    """A posted document is wrong. `faults` holds every fault that was found, never only the first."""

    code = "invalid_spec"

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        lines = (f"{f.pointer or '/'}: {f.detail}" for f in self.faults)
        super().__init__("; ".join(lines))


class InvalidHistory(GradclinicError):
    """A recorded history cannot be read, or does not hold what was asked of it."""

    code = "invalid_history"


class NotExportable(GradclinicError):
    """A PyTorch module does something that no artifact can hold."""

    code = "not_exportable"


class NotFound(GradclinicError):
    """Nothing of that kind has that id."""

    code = "not_found"

    def __init__(self, kind: str, id: str) -> None:
        where = f"/v1/{kind}s" if kind in {"run", "sweep", "dataset", "artifact"} else "/v1/jobs"
        super().__init__(f"There is no {kind} {id!r}. It may have been deleted; `GET {where}` lists what there is.")


class Conflict(GradclinicError):
    """The request is right, but not in the state that the job is in."""

    code = "conflict"


class DiagnosisNotReady(Conflict):
    """The run is not trained yet; ask again in `retry_after` seconds."""

    code = "diagnosis_not_ready"

    def __init__(self, message: str, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class NoDiagnosis(Conflict):
    """The run ended without a diagnosis, and will not get one."""

    code = "no_diagnosis"


class JobIsLive(Conflict):
    """The job is still queued or at work."""

    code = "job_is_live"


class UploadInUse(Conflict):
    """A job that is still queued or at work trains on what was uploaded."""

    code = "upload_in_use"


class DatasetInUse(UploadInUse):
    """A job that is still queued or at work trains on the data set."""

    code = "dataset_in_use"


class ArtifactInUse(UploadInUse):
    """A job that is still queued or at work trains the artifact."""

    code = "artifact_in_use"


class RunEnded(Conflict):
    """The external run has ended, and what is asked would change it."""

    code = "run_ended"


class ChunkOutOfOrder(Conflict):
    """A chunk of a history does not follow those received. `faults` names the number that would."""

    code = "chunk_out_of_order"

    def __init__(self, detail: str, expected: int) -> None:
        self.faults = (Fault("/query/chunk", detail, str(expected)),)
        super().__init__(detail)


class RunBelongsToJob(Conflict):
    """The run is a job's own: workers alone write it, and it goes when its job does."""

    code = "run_belongs_to_job"

    def __init__(self, run_id: str, job_id: str) -> None:
        super().__init__(
            f"Run {run_id} belongs to job {job_id}, and only an external run can be changed or deleted alone."
        )


class RunsFull(GradclinicError):
    """External runs hold as much as they may."""

    code = "runs_full"

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"{detail} Delete some that are no longer needed (DELETE /v1/runs/...), or ask whoever runs the service for more."
        )


class KeyReused(GradclinicError):
    """The same idempotency key came with another body before."""

    code = "idempotency_key_reused"


class LeaseLost(GradclinicError):
    """This attempt no longer holds the job; whatever it still writes is refused."""

    code = "lease_lost"


class TrainingCancelled(GradclinicError):
    """The training was asked to stop and did, between two steps."""

    code = "cancelled"


class DeviceUnavailable(GradclinicError):
    """The spec asks for a device that the worker does not have."""

    code = "device_unavailable"


class ServiceUnreachable(GradclinicError):
    """The client got no answer, or not one of this service."""

    code = "service_unreachable"


class RequestFailed(ServiceUnreachable):
    """The service answered with a problem (RFC 9457); `problem` is its document, `status` the HTTP status."""

    code = "request_failed"

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.problem = problem
        super().__init__(str(problem.get("detail") or problem.get("title") or f"HTTP {status}"))
