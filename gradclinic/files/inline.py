"""Reading data that stand in the spec itself. The contract has checked that they are regular."""

from __future__ import annotations

import numpy as np

from gradclinic.contract.file_data import Inline
from gradclinic.files.raw import RawData, is_image_shape, is_sequence_shape
from gradclinic.files.source import refusal
from gradclinic.files.targets import MAX_CLASSES


def read_inline(data: Inline) -> RawData:
    """Turn x and y into arrays.

    Raises:
        InvalidSpec: A whole number is too large.
    """
    facts = data.raw_facts()
    if facts is None:
        raise refusal("x", "x or y is not regular.", "numbers, or lists of lists of numbers of equal lengths")
    if facts.classes is not None and facts.classes > MAX_CLASSES:
        words = f"y has whole numbers up to {facts.classes - 1}, which are no class indices."
        raise refusal("y", words, f"class indices from 0 to {MAX_CLASSES - 1}, or floats for a regression")
    try:
        inputs = np.asarray(data.x, np.int64 if facts.integers else np.float64).reshape(facts.rows, *facts.input_shape)
        targets = np.asarray(data.y, np.float64 if facts.classes is None else np.int64)
    except OverflowError as error:
        raise refusal("x", "A number is too large to be stored.", "numbers of 64 bits") from error
    return RawData(
        inputs,
        targets.reshape(facts.rows, *facts.target_shape),
        is_image=is_image_shape(facts.input_shape),
        is_sequence=is_sequence_shape(facts.input_shape),
        integers=facts.integers,
        classes=facts.classes,
    )
