"""Where the files of data sets are found: under the data root, and among the uploads. Reads none of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gradclinic.contract.limits import DEFAULT_LIMITS


class Files:
    """Finds the files that a data set names.

    Args:
        root: The data root; without it `path` data are refused.
        dataset: Returns the file of an uploaded data set, or raises `NotFound`; without it `dataset` data are refused.
        max_numbers: Numbers that the inputs of one data set may have.
    """

    def __init__(
        self,
        root: Path | None = None,
        dataset: Callable[[str], Path] | None = None,
        *,
        max_numbers: int = DEFAULT_LIMITS.max_data,
    ) -> None:
        self.root = root
        self.dataset = dataset
        self.max_numbers = max_numbers
