"""Going on where one measurement fails: it is a row in a table then, and no end of the run."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Measured = TypeVar("Measured")


def in_words(
    measure: Callable[Arguments, Measured], *arguments: Arguments.args, **options: Arguments.kwargs
) -> Measured | str:
    """Return what was measured, or in words why it was not. The traceback goes to the console."""
    try:
        return measure(*arguments, **options)
    except Exception as error:  # noqa: BLE001 - a rival's tool can raise anything, and the rest is measured all the same
        traceback.print_exc()
        first_line = next(iter(str(error).splitlines()), "")
        return f"failed: {type(error).__name__}: {first_line[:200]}"
