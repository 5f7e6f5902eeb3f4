"""The application: what it opens, what every request passes through, and its routes. Importing it does nothing."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CapacityLimiter
from fastapi import Depends, FastAPI
from starlette.concurrency import run_in_threadpool

from gradclinic.model import check_document
from service.examples import DEEP_SIGMOID
from service.frame import Frame
from service.guard import Guard
from service.keys import KeyRing, require_key
from service.logs import ensure_log
from service.openapi import TAGS, document_openapi, v1_problems
from service.problems import register_handlers
from service.routes import (
    artifacts,
    catalogues,
    datasets,
    docs,
    events,
    external,
    jobs,
    probes,
    runs,
    schema,
    specs,
    sweeps,
)
from service.streaming import Turns
from service.watching import Watchers
from store.bell import Bell
from store.engine import make_engine
from store.schema import ensure_schema
from store.settings import Settings
from store.transactions import Store
from store.upload_files import make_files

VERSION = "0.1.0"
HISTORY_READS = 2
"""Histories that are read at once. One of the largest takes some hundred megabytes while it is written."""

HISTORY_ANSWERS = 16
"""Histories that are on their way at once. What is still to be written of one of the largest takes some fifty megabytes."""

HISTORY_WRITES = 2
"""Posted chunks of histories that are unpacked at once. One of the largest takes some hundred megabytes."""

JUDGEMENTS = 1
"""External runs that are judged at once. One of the longest takes about a gigabyte, and most take milliseconds."""

V1_ROUTES = (
    jobs.router,
    events.router,
    sweeps.router,
    external.router,
    runs.router,
    datasets.router,
    artifacts.router,
    specs.router,
    catalogues.router,
    schema.router,
)


def create_app(settings: Settings) -> FastAPI:
    """Make the application. The database is opened when it starts, and closed when it ends."""
    ensure_log()
    app = FastAPI(
        title="gradclinic", version=VERSION, openapi_tags=TAGS, docs_url=None, redoc_url=None, lifespan=_lifespan
    )
    app.state.settings = settings
    app.state.keys = KeyRing(tuple(key.get_secret_value() for key in settings.api_keys))
    app.state.stopping = threading.Event()  # set when the service is told to stop: whoever waits, answers
    if not settings.api_keys:
        app.add_middleware(Guard)
    app.add_middleware(Frame)  # added last, it is the outermost: a refusal is framed too
    register_handlers(app)
    app.include_router(docs.router)
    app.include_router(probes.router)
    for router in V1_ROUTES:
        app.include_router(router, dependencies=[Depends(require_key)], responses=v1_problems())
    document_openapi(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    engine = make_engine(settings.database)
    app.state.store = Store(engine)
    app.state.files = make_files(app.state.store, settings)
    app.state.watchers = Watchers(app.state.store, app.state.stopping)
    app.state.bell = Bell(settings.broker_url, settings.broker_prefix)
    app.state.history_reads = Turns(CapacityLimiter(HISTORY_READS), CapacityLimiter(HISTORY_ANSWERS))
    app.state.history_writes = CapacityLimiter(HISTORY_WRITES)
    app.state.judgements = CapacityLimiter(JUDGEMENTS)
    try:
        await run_in_threadpool(ensure_schema, engine)
        # The first model resolved in a process costs torch most of a second of imports: before the first caller, then.
        await run_in_threadpool(check_document, DEEP_SIGMOID)
        yield
    finally:
        await app.state.watchers.close()
        app.state.bell.close()
        app.state.store.close()
