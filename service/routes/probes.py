"""Probes: whether the process lives, and whether it can serve."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from service.answers import answer
from service.errors import StoreUnavailable
from service.openapi import problems
from service.provided import GivenBell, GivenStore
from store.schema import schema_is_current
from store.workers import workers_seen

router = APIRouter(tags=["probes"])


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """The service can serve. Without its broker it is `degraded`: jobs start a little later."""

    status: Literal["ready", "degraded"]
    workers: int = Field(description="Workers seen within the last 30 seconds. With none, jobs stay queued.")
    checks: dict[str, str] = Field(description="What was looked at, and what was found.")


@router.get("/livez", operation_id="probes_live", summary="Does the process live?", response_model=Alive)
async def show_alive() -> Response:
    """Answer without looking at anything else."""
    return answer(Alive())


@router.get(
    "/readyz", operation_id="probes_ready", summary="Can it serve?", response_model=Ready, responses=problems(503)
)
def show_ready(store: GivenStore, bell: GivenBell) -> Response:
    """Look at the database, its migrations and the broker, and count the workers."""
    with store.reading() as reader:
        if not schema_is_current(reader):
            raise StoreUnavailable("The database is not at the newest migration. Run the migrations, then ask again.")
        workers = workers_seen(reader)
    broker = bell.check()
    checks = {"database": "ok", "migrations": "ok", "broker": broker}
    return answer(Ready(status="degraded" if broker == "unreachable" else "ready", workers=workers, checks=checks))
