"""Data sets: uploading, listing, looking, deleting. Specs name them by their id."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from gradclinic.contract.job import Page
from gradclinic.contract.uploaded import UploadedDataset
from service.answers import answer, answer_page, dataset_with_links
from service.openapi import problems
from service.provided import DatasetId, GivenSettings, GivenStore
from service.query import Paging, in_query
from service.submission import IdempotencyKey
from service.uploading import POSTED_FILE, UPLOAD_PROBLEMS, GivenUpload, store_upload
from store.datasets import delete_dataset, find_dataset, list_datasets
from store.texts import refuse_unstorable

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


@router.post(
    "",
    status_code=201,
    operation_id="datasets_create",
    summary="Upload a data set",
    response_model=UploadedDataset,
    responses=UPLOAD_PROBLEMS,
    openapi_extra=POSTED_FILE,
)
async def create_dataset(
    upload: GivenUpload,
    store: GivenStore,
    settings: GivenSettings,
    name: Annotated[str | None, Query(max_length=200, description="What to call it, such as `people.csv`.")] = None,
    key: IdempotencyKey = None,
) -> Response:
    """Take a CSV, Parquet or npz file in, as large as the service allows. What is in it is looked at when a spec uses it.

    A `Content-Digest` with `sha-256` is compared with what arrived.
    """
    with in_query():
        refuse_unstorable({"/name": [name or ""]})
    taken = await run_in_threadpool(store_upload, store, settings, upload, name, key)
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
        page = list_datasets(reader, cursor=asked.cursor, limit=asked.limit)
    return answer_page(page.model_copy(update={"items": [dataset_with_links(one) for one in page.items]}), request)


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
        return answer(dataset_with_links(find_dataset(reader, dataset_id)))


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
        delete_dataset(writer, dataset_id)
    return Response(None, 204)
