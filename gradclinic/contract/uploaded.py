"""Uploaded data sets as a client sees them. What is in one shows when a spec uses it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from gradclinic.contract.base import ResultModel

DatasetKind = Literal["csv", "parquet", "npz"]


class UploadedDataset(ResultModel):
    """A file that was uploaded to train on: a table, or arrays."""

    id: str = Field(description="What a spec's data name it by: `dataset`.")
    name: str | None = Field(description="What its uploader called it.")
    kind: DatasetKind = Field(description="csv and parquet are for `table`, npz is for `arrays`.")
    size: int = Field(description="Bytes.")
    sha256: str = Field(description="Of its bytes, in hexadecimal.")
    created_at: datetime
    links: dict[str, str] = Field(default_factory=dict)
