"""Artifacts, which are models as data: uploading, listing, looking, deleting. Specs name them by their id."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from gradclinic.contract.job import Page
from gradclinic.contract.uploaded import UploadedArtifact
from service.answers import answer, answer_uploads, upload_with_links
from service.artifact_kind import kind_of_artifact
from service.openapi import posted_file, problems, upload_problems
from service.provided import ArtifactId, GivenSettings, GivenStore
from service.query import Paging, UploadName, in_query
from service.submission import IdempotencyKey
from service.uploading import GivenUpload, UploadRoute, store_upload
from store.texts import refuse_unstorable
from store.uploads import ARTIFACTS

HERE = UploadRoute("/v1/artifacts", ARTIFACTS, kind_of_artifact)

POSTED: dict[str, Any] = posted_file(
    "One safetensors file, uncompressed, with the model's graph in its metadata: `gradclinic.export.export_artifact` writes "
    "it.",
    ("application/octet-stream",),
)

router = APIRouter(prefix=HERE.path, tags=["artifacts"])


@router.post(
    "",
    status_code=201,
    operation_id="artifacts_create",
    summary="Upload a model as an artifact",
    response_model=UploadedArtifact,
    responses=upload_problems("The body is sent compressed."),
    openapi_extra=POSTED,
)
async def create_artifact(
    upload: GivenUpload,
    store: GivenStore,
    settings: GivenSettings,
    name: UploadName = None,
    key: IdempotencyKey = None,
) -> Response:
    """Take a model in: a graph of operators with its weights, as large as the service allows. All of it is checked at once.

    A `Content-Digest` with `sha-256` is compared with what arrived.
    """
    with in_query():
        refuse_unstorable({"/name": [name or ""]})
    taken = await run_in_threadpool(store_upload, store, settings, HERE, upload, name, key)
    return Response(taken.body, taken.status, taken.headers, "application/json")


@router.get(
    "",
    operation_id="artifacts_list",
    summary="List uploaded artifacts, newest first",
    response_model=Page[UploadedArtifact],
    responses=problems(),
)
def list_all(request: Request, store: GivenStore, asked: Annotated[Paging, Query()]) -> Response:
    """List artifacts, newest first. The `Link` header and `next_cursor` lead to the next page."""
    with store.reading() as reader, in_query():
        page = ARTIFACTS.list_page(reader, cursor=asked.cursor, limit=asked.limit)
    return answer_uploads(page, HERE.path, request)


@router.get(
    "/{artifact_id}",
    operation_id="artifacts_get",
    summary="Look at an uploaded artifact",
    response_model=UploadedArtifact,
    responses=problems(404),
)
def show_artifact(artifact_id: ArtifactId, store: GivenStore) -> Response:
    """Show what is known of an artifact; its content is not sent back."""
    with store.reading() as reader:
        return answer(upload_with_links(ARTIFACTS.find(reader, artifact_id), HERE.path))


@router.delete(
    "/{artifact_id}",
    status_code=204,
    operation_id="artifacts_delete",
    summary="Delete an uploaded artifact",
    responses=problems(404, 409),
)
def remove_artifact(artifact_id: ArtifactId, store: GivenStore) -> Response:
    """Delete an artifact. While a live job trains it that is a 409 `artifact_in_use`; of ended jobs all is kept."""
    with store.writing() as writer:
        ARTIFACTS.delete(writer, artifact_id)
    return Response(None, 204)
