"""Uploaded data sets and artifacts as a client sees them. What is in a data set shows when a spec uses it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from gradclinic.contract.base import ResultModel

DatasetKind = Literal["csv", "parquet", "npz"]
ArtifactKind = Literal["graph"]


class Upload(ResultModel):
    """What is known of any uploaded file."""

    id: str = Field(description="What a spec names it by.")
    name: str | None = Field(description="What its uploader called it.")
    kind: str
    size: int = Field(description="Bytes.")
    sha256: str = Field(description="Of its bytes, in hexadecimal.")
    created_at: datetime
    links: dict[str, str] = Field(default_factory=dict)


class UploadedDataset(Upload):
    """A file that was uploaded to train on: a table, or arrays."""

    id: str = Field(description="What a spec's data name it by: `dataset`.")
    kind: DatasetKind = Field(description="csv and parquet are for `table`, npz is for `arrays`.")


class UploadedArtifact(Upload):
    """A file that was uploaded to be trained: a model as a graph of operators, with its weights."""

    id: str = Field(description="What a spec's model names it by: `artifact`.")
    kind: ArtifactKind = Field(description="graph is for a model of type `graph`.")
