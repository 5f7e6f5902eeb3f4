"""What a route can ask for: the store, the bell, the settings, the limits, the files of jobs, and an id from the path."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Request

from gradclinic.contract.limits import Limits
from gradclinic.files import Files
from service.watching import Watchers
from store.bell import Bell
from store.settings import Settings
from store.transactions import Store


async def provide_store(request: Request) -> Store:
    """Return the application's store."""
    store: Store = request.app.state.store
    return store


async def provide_watchers(request: Request) -> Watchers:
    """Return what watches jobs for those who listen."""
    watchers: Watchers = request.app.state.watchers
    return watchers


async def provide_bell(request: Request) -> Bell:
    """Return the application's bell."""
    bell: Bell = request.app.state.bell
    return bell


async def provide_settings(request: Request) -> Settings:
    """Return the application's settings."""
    settings: Settings = request.app.state.settings
    return settings


async def provide_limits(request: Request) -> Limits:
    """Return the limits of a posted model."""
    limits: Limits = request.app.state.settings.limits
    return limits


async def provide_files(request: Request) -> Files:
    """Return what finds the files of data sets and models."""
    files: Files = request.app.state.files
    return files


GivenStore = Annotated[Store, Depends(provide_store)]
GivenWatchers = Annotated[Watchers, Depends(provide_watchers)]
GivenBell = Annotated[Bell, Depends(provide_bell)]
GivenSettings = Annotated[Settings, Depends(provide_settings)]
GivenLimits = Annotated[Limits, Depends(provide_limits)]
GivenFiles = Annotated[Files, Depends(provide_files)]

# The store itself refuses what cannot be an id, before it reaches a database.
JobId = Annotated[str, Path(description="The job's id.")]
RunId = Annotated[str, Path(description="The run's id.")]
SweepId = Annotated[str, Path(description="The sweep's id.")]
DatasetId = Annotated[str, Path(description="The data set's id.")]
ArtifactId = Annotated[str, Path(description="The artifact's id.")]
FixId = Annotated[str, Path(description="The fix's id within the job's diagnosis.")]
