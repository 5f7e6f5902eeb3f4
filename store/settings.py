"""The settings of service and worker, read from the environment (`GRADCLINIC_...`). Decides nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gradclinic.contract.limits import MIB, Limits

PREFIX = "GRADCLINIC_"


def limits_from_environment() -> Limits:
    """Read the limits, each from a variable of its own: `max_layers` from `GRADCLINIC_MAX_LAYERS`."""
    prefix = PREFIX.lower()
    given = {name.lower().removeprefix(prefix): value for name, value in os.environ.items() if value}
    return Limits.model_validate_strings({name: given[name] for name in Limits.model_fields if name in given})


class Settings(BaseSettings):
    """What can be set from outside. With none set, the embedded default is used: SQLite, no broker, this machine."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    data_dir: Path = Field(Path("var"), description="Folder of the embedded database.")
    database_url: str | None = Field(None, repr=False, description="SQLAlchemy URL; without it SQLite in `data_dir`.")
    broker_url: str | None = Field(None, repr=False, description="Celery broker; without it the worker needs none.")
    broker_prefix: str = Field("gradclinic:", description="Stands before every key in Redis.")
    data_root: Path | None = Field(None, description="Folder where `path` data may be read.")
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field((), description="Comma-separated; any one opens.")
    torch_threads: int = Field(1, ge=1, description="Threads of every training; part of what makes it repeatable.")
    lease_seconds: float = Field(15.0, gt=0, description="How long a silent worker keeps its run.")
    max_attempts: int = Field(3, ge=1, description="How many workers a run may lose before it is given up.")
    reannounce_seconds: float = Field(5.0, gt=0, description="How long an announced job may wait unclaimed.")
    dispatch_interval: float = Field(0.05, gt=0, description="Seconds between two looks at the job table.")
    max_sweep: int = Field(100, ge=1, le=10_000, description="How many jobs one sweep may make.")
    max_upload: int = Field(256 * MIB, ge=1, description="Bytes that one uploaded data set or artifact may have.")
    max_datasets_bytes: int = Field(
        10_240 * MIB, ge=1, description="Bytes that all uploads, artifacts too, may have together."
    )
    max_external_runs: int = Field(10_000, ge=1, description="How many external runs may be kept.")
    max_external_numbers: int = Field(
        2_000_000_000, ge=1, description="Numbers that all external runs may hold together, some 3 bytes each."
    )
    max_queued: int = Field(1000, ge=1, description="How many jobs may be queued before no more are taken in.")
    body_seconds: float = Field(
        10.0, gt=0, description="How long a posted document may take, or each piece of an upload."
    )
    limits: Limits = Field(default_factory=limits_from_environment, description="How large a posted model may be.")
    retention_days: float | None = Field(
        None, gt=0, description="How long ended jobs and external runs are kept; for ever without it."
    )
    max_training_seconds: float = Field(3600.0, gt=0, description="How long one attempt at a training may take.")
    stalled_seconds: float = Field(600.0, gt=0, description="How long a training may take for one step, or to begin.")

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: Any) -> Any:
        return [key for part in value.split(",") if (key := part.strip())] if isinstance(value, str) else value

    @property
    def database(self) -> str:
        """The URL in use. The embedded database is named by its whole path: a child may run in another folder."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'gradclinic.db'}"
