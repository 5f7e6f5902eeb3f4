"""The target column of a CSV file, whose cells are texts: what they stand for shows only when all have been seen."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from gradclinic.files.columns import missing, too_many_classes
from gradclinic.files.source import Source, shown
from gradclinic.files.targets import MAX_CLASSES, Targets, targets_of_numbers, targets_of_texts

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "nil", "?", "-"})
"""What stands in files where a number is missing, in small letters."""

_WHOLE = re.compile(r"[+-]?[0-9]+")


class CsvTarget:
    """Takes in the cells of the target column, and says in the end what they are.

    They are kept as codes of the different texts until there are too many of those for classes, and as numbers until
    one is none.
    """

    def __init__(self, source: Source, name: str) -> None:
        self._source = source
        self._name = name
        self._rows = 0
        self._codes: list[npt.NDArray[np.int32]] = []
        self._code_of: dict[str, int] = {}
        self._numbers: list[npt.NDArray[np.float64]] | None = []

    def add(self, cells: list[str]) -> None:
        """Take in the cells of the next rows.

        Raises:
            InvalidSpec: One is empty, or they are neither numbers nor classes.
        """
        texts = [cell.strip() for cell in cells]
        for row, text in enumerate(texts, start=self._rows + 1):
            if text in {"", "nan", "NaN"}:
                raise missing(self._source, self._name, row, text, key="target")
        self._rows += len(texts)
        if self._numbers is not None:
            try:
                self._numbers.append(np.array(texts, dtype=np.float64))
            except ValueError:
                self._numbers = None
        if self._could_be_classes:
            codes = [self._code_of.setdefault(text, len(self._code_of)) for text in texts]
            self._codes.append(np.array(codes, np.int32))
        if self._numbers is None and not self._could_be_classes:
            raise too_many_classes(self._source, self._name, next(filter(_is_text, self._code_of), texts[0]))

    def finish(self) -> Targets:
        """Say what the column is.

        Raises:
            InvalidSpec: Its numbers are not finite, or it mixes numbers and texts.
        """
        if not self._rows:
            return Targets(np.empty((0, 1)))
        if self._numbers is None:
            self._refuse_mixture()
            return targets_of_texts(np.concatenate(self._codes), list(self._code_of))
        values = np.concatenate(self._numbers)
        for row in np.flatnonzero(~np.isfinite(values)):
            words = f"has {values[row]} in row {row + 1:,} of column {shown(self._name)}."
            raise self._source.refusal(words, "finite numbers", key="target")
        whole = self._could_be_classes and all(map(_WHOLE.fullmatch, self._code_of))
        return targets_of_numbers(values, are_whole=whole)

    @property
    def _could_be_classes(self) -> bool:
        return len(self._code_of) <= MAX_CLASSES

    def _refuse_mixture(self) -> None:
        """Refuse texts among numbers that are no classes: a word for a missing value, or a slip of the pen."""
        texts = [text for text in self._code_of if _is_text(text)]
        numbers = [text for text in self._code_of if not _is_text(text)]
        is_gap = bool(numbers) and all(text.lower() in MISSING for text in texts)
        if is_gap or not all(map(_WHOLE.fullmatch, numbers)):
            words = f"has numbers in column {shown(self._name)}, such as {shown(numbers[0])}, and texts, such as {shown(texts[0])}."
            raise self._source.refusal(words, "numbers alone, or classes alone; no gaps", key="target")


def _is_text(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return True
    return False
