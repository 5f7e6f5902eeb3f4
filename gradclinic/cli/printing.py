"""Where results go: a report for people or JSON for programs, on standard output. Errors are `telling`'s business."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO

from pydantic import BaseModel
from rich.console import Console, RenderableType

WIDTH = 100
"""Columns of what does not go to a terminal, such as a log of a pipeline."""


def console_for(stream: TextIO) -> Console:
    """Make the console that prints to a stream; as wide as the terminal, else `COLUMNS`, else `WIDTH`."""
    fixed = None if stream.isatty() or os.environ.get("COLUMNS") else WIDTH
    return Console(file=stream, width=fixed, highlight=False)


def print_report(report: RenderableType) -> None:
    """Print a renderable for people."""
    console_for(sys.stdout).print(report)


def print_aside(report: RenderableType) -> None:
    """Print a renderable for people beside a result that goes elsewhere; its lines are not broken."""
    console_for(sys.stderr).print(report, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a contract object, or plain objects that hold some, as JSON."""
    print(json.dumps(value, default=_plain, indent=2, ensure_ascii=False, allow_nan=False))  # noqa: T201 - the result


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no form in JSON")
