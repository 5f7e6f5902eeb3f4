"""The two pydantic bases of the contract: what a client sends, and what it gets back.

`SpecModel` refuses whatever it does not know; `ResultModel` says what happened. Neither knows torch or HTTP.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError


class SpecModel(BaseModel):
    """Base of everything a client sends: frozen, strict about types, no unknown key, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, ser_json_inf_nan="null")


class ResultModel(BaseModel):
    """Base of everything the system says: frozen, no unknown key; a number that is not finite is written as null."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


def misfit(message: str, *, at: str = "", expected: str | None = None) -> PydanticCustomError:
    """Make the error that a validator raises when fields that are right alone do not fit together.

    `at` is the key the reader has to change, relative to the model that is validated; `expected` says to what.
    """
    context: dict[str, Any] = {"at": at, "said": message, "expected": expected}
    return PydanticCustomError("misfit", "{said}", context)


# Upper ends are generous for any training a service would run; they exist so that arithmetic on them cannot overflow
# and no single number can exhaust the machine before the limits proper (`limits.py`) have been worked out.
Size = Annotated[int, Field(ge=1, le=1_000_000)]
"""A number of features, channels, samples or turns."""

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""A seed of a random generator."""

LARGEST = 3.4e38
"""The largest float32, rounded down: PyTorch cannot take a larger number into a tensor."""

Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
NonNegative = Annotated[float, Field(ge=0.0, le=LARGEST)]
Positive = Annotated[float, Field(gt=0.0, le=LARGEST)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]

Index = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
"""A place in a dimension, or a dimension; below 0 it is counted from the end."""
