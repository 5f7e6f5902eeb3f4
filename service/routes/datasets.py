"""Data sets: uploading, listing, looking, deleting. Specs name them by their id."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from gradclinic.contract.job import Page
from gradclinic.contract.uploaded import UploadedDataset
from service.answers import answer, answer_uploads, upload_with_links
from service.dataset_kind import kind_of_dataset
from service.openapi import posted_file, problems, upload_problems
from service.provided import DatasetId, GivenSettings, GivenStore
from service.query import Paging, UploadName, in_query
from service.submission import IdempotencyKey
from service.uploading import GivenUpload, UploadRoute, store_upload
from store.texts import refuse_unstorable
from store.uploads import DATASETS

HERE = UploadRoute("/v1/datasets", DATASETS, kind_of_dataset)

POSTED: dict[str, Any] = posted_file(
    "The file itself, uncompressed. Where the media type does not say what it is, the end of `name` does, or how the "
    "file begins.",
    ("text/csv", "application/vnd.apache.parquet", "application/x-npz", "application/octet-stream"),
)

router = APIRouter(prefix=HERE.path, tags=["datasets"])


@router.post(
    "",
    status_code=201,
    operation_id="datasets_create",
    summary="Upload a data set",
    response_model=UploadedDataset,
    responses=upload_problems("It cannot be told whether this is CSV, Parquet or npz."),
    openapi_extra=POSTED,
)
async def create_dataset(
    upload: GivenUpload,
    store: GivenStore,
    settings: GivenSettings,
    name: UploadName = None,
    key: IdempotencyKey = None,
) -> Response:
    """Take a CSV, Parquet or npz file in, as large as the service allows. What is in it is looked at when a spec uses it.

    A `Content-Digest` with `sha-256` is compared with what arrived.
    """
    with in_query():
        refuse_unstorable({"/name": [name or ""]})
    taken = await run_in_threadpool(store_upload, store, settings, HERE, upload, name, key)
    return Response(taken.body, taken.status, taken.headers, "application/json")


@router.get(
    "",
    operation_id="datasets_list",
    summary="List uploaded data sets, newest first",
    response_model=Page[UploadedDataset],
    responses=problems(),
)
def list_all(request: Request, store: GivenStore, asked: Annotated[Paging, Query()]) -> Response:
    """List data sets, newest first. The `Link` header and `next_cursor` lead to the next page."""
    with store.reading() as reader, in_query():
        page = DATASETS.list_page(reader, cursor=asked.cursor, limit=asked.limit)
    return answer_uploads(page, HERE.path, request)


@router.get(
    "/{dataset_id}",
    operation_id="datasets_get",
    summary="Look at an uploaded data set",
    response_model=UploadedDataset,
    responses=problems(404),
)
def show_dataset(dataset_id: DatasetId, store: GivenStore) -> Response:
    """Show what is known of a data set; its content is not sent back."""
    with store.reading() as reader:
        return answer(upload_with_links(DATASETS.find(reader, dataset_id), HERE.path))


@router.delete(
    "/{dataset_id}",
    status_code=204,
    operation_id="datasets_delete",
    summary="Delete an uploaded data set",
    responses=problems(404, 409),
)
def remove_dataset(dataset_id: DatasetId, store: GivenStore) -> Response:
    """Delete a data set. While a live job trains on it that is a 409 `dataset_in_use`; of ended jobs all is kept."""
    with store.writing() as writer:
        DATASETS.delete(writer, dataset_id)
    return Response(None, 204)
