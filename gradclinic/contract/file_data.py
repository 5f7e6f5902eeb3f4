"""The data sets that a user brings: files under the data root, uploads, and small ones in the spec itself.

What a file holds has to be read for: `gradclinic.files` does that.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from gradclinic.contract.base import misfit
from gradclinic.contract.dataset import Dataset, RawFacts

MAX_INLINE = 100_000
"""Numbers in the x of an inline data set; whoever has more uploads them."""


def _inside(path: str) -> str:
    """Refuse a path that leads out of the data root by its words; links are checked when the file is opened."""
    if path.startswith("/") or "\\" in path or ":" in path.split("/", maxsplit=1)[0] or ".." in path.split("/"):
        message = f"{path[:80]!r} leads out of the data root."
        raise misfit(message, expected="a path relative to the data root, with forward slashes and without '..'")
    return path


RelativePath = Annotated[
    str,
    Field(min_length=1, max_length=1000, description="Path under the data root, with forward slashes."),
    AfterValidator(_inside),
]

DatasetId = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9-]+$")]


class _FileOrUpload(Dataset):
    path: RelativePath | None = Field(None, description="Path under the data root, with forward slashes.")
    dataset: DatasetId | None = Field(None, description="An uploaded data set (`POST /v1/datasets`), instead of path.")

    @model_validator(mode="after")
    def _one_of_two(self) -> _FileOrUpload:
        if (self.path is None) == (self.dataset is None):
            raise misfit("Either path or dataset has to be given.", at="path", expected="one of path and dataset")
        return self


class ImageFolder(Dataset):
    """A folder with a folder of images for each class, under the data root."""

    type: Literal["image_folder"]
    path: RelativePath = Field(description="The folder, under the data root.")
    size: Annotated[int, Field(ge=1, le=4096)] = Field(32, description="Images are scaled to this height and width.")
    grayscale: bool = Field(False, description="Make one channel of three.")


class Idx(Dataset):
    """MNIST's own file format, plain or gzip, under the data root."""

    type: Literal["idx"]
    images: RelativePath = Field(description="The file of the images, under the data root.")
    labels: RelativePath = Field(description="The file of their labels, under the data root.")
    flatten: bool = Field(False, description="Give [height * width] instead of [1, height, width].")


class Table(_FileOrUpload):
    """A CSV or Parquet file of numbers with a header; text in the target column makes classes.

    So do whole numbers there that count 0, 1, ..., K - 1 and leave none out; write them as 0.0, 1.0 to have values.
    """

    type: Literal["table"]
    target: Annotated[str, Field(min_length=1, max_length=1000)] = Field(description="Name of the target column.")


class Arrays(_FileOrUpload):
    """NumPy arrays in an .npz file; no pickled objects.

    Whole numbers in y are classes: one a sample, or one a step where y is [N, T] and x has T steps. All else is values.
    """

    type: Literal["arrays"]
    x: Annotated[str, Field(min_length=1, max_length=200)] = Field("x", description="Name of the inputs' array.")
    y: Annotated[str, Field(min_length=1, max_length=200)] = Field("y", description="Name of the targets' array.")


class Inline(Dataset):
    """Data in the spec itself. Integers in y are classes, floats a regression, lists several targets."""

    type: Literal["inline"]
    x: Annotated[list[Any], Field(min_length=1)] = Field(
        description="One entry a sample: a number, or nested lists of them."
    )
    y: Annotated[list[Any], Field(min_length=1)] = Field(description="One entry a sample.")

    @model_validator(mode="after")
    def _regular(self) -> Inline:
        if len(self.x) != len(self.y):
            raise misfit(f"There are {len(self.y)} targets for {len(self.x)} samples.", at="y", expected="as many as x")
        for key, values in (("x", self.x), ("y", self.y)):
            if _shape(values) is None:
                message = f"{key} is not a regular array of finite numbers: its lists differ in length, or hold others."
                raise misfit(message, at=key, expected="numbers, or lists of lists of numbers of equal lengths")
        if _count(self.x) > MAX_INLINE:
            message = f"x holds {_count(self.x)} numbers, more than {MAX_INLINE}."
            raise misfit(message, at="x", expected="a file, or an upload")
        return self

    def raw_facts(self) -> RawFacts | None:
        """Say what the data set holds; None where it is not regular."""
        shape, targets = _shape(self.x), _shape(self.y)
        if shape is None or targets is None:
            return None
        inputs = shape[1:] or (1,)
        integers = _all_integers(self.x)
        if len(targets) == 1 and _all_integers(self.y) and min(self.y) >= 0:
            return RawFacts(len(self.x), inputs, max(2, max(self.y) + 1), integers=integers)
        return RawFacts(len(self.x), inputs, None, targets[1:] or (1,), integers=integers)


def _shape(values: Any) -> tuple[int, ...] | None:
    """Return the shape of nested lists; None where they are not regular, or hold anything but finite numbers."""
    if isinstance(values, bool) or not isinstance(values, int | float | list | tuple):
        return None
    if isinstance(values, int | float):
        return () if abs(values) < float("inf") else None  # NaN compares false
    shapes = {_shape(value) for value in values}
    if len(shapes) != 1 or (inner := shapes.pop()) is None:
        return None
    return (len(values), *inner)


def _count(values: Any) -> int:
    return sum(map(_count, values)) if isinstance(values, list | tuple) else 1


def _all_integers(values: Any) -> bool:
    return all(map(_all_integers, values)) if isinstance(values, list | tuple) else isinstance(values, int)


FileData = ImageFolder | Idx | Table | Arrays
"""Those that have to be read to know what they hold."""

UserData = FileData | Inline
"""All of them."""
