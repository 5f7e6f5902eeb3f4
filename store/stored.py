"""Stored JSON, read back: what stored it may be an older or a newer version than what reads it."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

ModelT = TypeVar("ModelT", bound=BaseModel)


class UnreadableRecord(ValueError):
    """What is stored is not what this version would have stored, and cannot be understood without guessing."""


def read_stored(model: type[ModelT], text: str) -> ModelT:
    """Read an object back. A key that this version does not know is a newer one's, and is left out at any depth.

    Raises:
        UnreadableRecord: It lacks something, or holds a value that this version does not know.
    """
    try:
        return model.model_validate_json(text, extra="ignore")
    except ValidationError as error:
        raise UnreadableRecord(_words(model.__name__)) from error


def read_document(text: str) -> Any:
    """Read JSON back that is no object of the contract's.

    Raises:
        UnreadableRecord: It is none.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise UnreadableRecord(_words("document")) from error


def _words(what: str) -> str:
    return f"A stored {what} cannot be read by this version of the service."
