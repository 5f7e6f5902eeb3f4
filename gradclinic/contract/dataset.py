"""What every data set can be asked for, and the facts about one that a model has to fit.

Nothing is read or drawn here: `gradclinic.files` reads files, and `gradclinic.training.data` draws and loads the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gradclinic.contract.base import Probability, Seed, Size, SpecModel, misfit

Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class RawFacts:
    """What a data set holds before anything is done to it.

    `input_shape` and `target_shape` are of one sample, without the batch: a class index has the target shape (), a
    class index for each step of a sequence (steps,), values (targets,). `classes` is None for a regression, `integers`
    says that the inputs are whole numbers, which an Embedding takes, and `tokens` how many there are, where that is known.
    """

    rows: int
    input_shape: tuple[int, ...]
    classes: int | None
    target_shape: tuple[int, ...] = ()
    integers: bool = False
    tokens: int | None = None


@dataclass(frozen=True)
class DataFacts:
    """What a model has to fit, and how many rows there are in each part; the names are those of `RawFacts`.

    With `one_hot` the targets are floats of shape (classes,), though it is classes that are asked for.
    """

    input_shape: tuple[int, ...]
    classes: int | None
    target_shape: tuple[int, ...]
    train: int
    validation: int
    integers: bool = False
    tokens: int | None = None
    one_hot: bool = False

    @property
    def task(self) -> Task:
        """Whether classes or values are asked for."""
        return "regression" if self.classes is None else "classification"

    @property
    def targets(self) -> int:
        """The number of values asked for in a regression, else 0."""
        return math.prod(self.target_shape) if self.classes is None else 0


class Dataset(SpecModel):
    """What every data set can be asked for."""

    validation_split: float = Field(0.2, ge=0.0, lt=1.0, description="Share of the rows held out; the first ones.")
    seed: Seed = Field(0, description="Shuffles the rows, and draws those of a generator.")
    normalize: bool | Literal["minmax"] = Field(
        True, description="Scale inputs by the training part's mean and deviation; 'minmax' scales to [-1, 1]."
    )
    normalize_target: bool = Field(False, description="Scale the targets of a regression likewise.")
    limit: Size | None = Field(None, description="Keep this many rows after shuffling.")
    one_hot: bool = Field(False, description="Give classes as vectors of zeros and a one.")
    label_noise: Probability = Field(0.0, description="Share of the labels that are replaced at random.")
    imbalance: Annotated[float, Field(ge=1.0)] = Field(
        1.0, description="Most frequent class over the rarest, made by leaving samples out."
    )

    def raw_facts(self) -> RawFacts | None:
        """Say what the data set holds; None where its files have to be read for that (`gradclinic.files`)."""
        return None

    @model_validator(mode="after")
    def _fits_what_it_holds(self) -> Dataset:
        raw = self.raw_facts()
        if raw is not None:
            for error in misfits_of(self, raw):
                raise error
        return self


def misfits_of(data: Dataset, raw: RawFacts) -> list[Exception]:
    """List what was asked for that the data set cannot give."""
    facts = facts_of_rows(data, raw)
    found: list[Exception] = []
    if facts.train < 1:
        message = f"No row is left to train on: {facts.validation} of {raw.rows} rows are for validation."
        found.append(misfit(message, at="validation_split", expected="a smaller share, or more rows"))
    if data.normalize_target and raw.classes is not None:
        message = "The targets are classes, which have no scale."
        found.append(misfit(message, at="normalize_target", expected="false, or data with numbers as targets"))
    for key, asked in (
        ("one_hot", data.one_hot),
        ("label_noise", data.label_noise > 0),
        ("imbalance", data.imbalance > 1),
    ):
        if asked and raw.classes is None:
            found.append(misfit("The targets are numbers, not classes.", at=key, expected="data with classes"))
        elif asked and raw.target_shape:
            found.append(misfit("Each sample has many classes, one a step.", at=key, expected="one class a sample"))
    return found


def facts_of_rows(data: Dataset, raw: RawFacts) -> DataFacts:
    """Work out the sizes of the two parts. With an `imbalance` they are upper bounds: how many go depends on the rows."""
    kept = raw.rows if data.limit is None else min(raw.rows, data.limit)
    validation = validation_rows(kept, data.validation_split)
    shape = (raw.classes or 0,) if data.one_hot else raw.target_shape
    return DataFacts(
        raw.input_shape, raw.classes, shape, kept - validation, validation, raw.integers, raw.tokens, data.one_hot
    )


def validation_rows(rows: int, share: float) -> int:
    """Return how many of the rows are held out: rounded down, for a part of a row is none."""
    return math.floor(rows * share + 1e-9)  # the epsilon is for products such as 300 * 0.7 = 209.99999999999997
