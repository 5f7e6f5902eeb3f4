"""Whether a spec is right, asked in one place by all who take one in: its words, its thresholds, and its model's shapes."""

from __future__ import annotations

from typing import Any

from gradclinic.contract.limits import DEFAULT_LIMITS, Limits
from gradclinic.contract.parse import parse_spec
from gradclinic.contract.resolved import ResolvedSpec
from gradclinic.contract.spec import JobSpec
from gradclinic.diagnosis import check_thresholds
from gradclinic.errors import InvalidSpec
from gradclinic.files import Files
from gradclinic.model.spec import resolve_spec


def check_document(
    document: Any, limits: Limits = DEFAULT_LIMITS, files: Files | None = None
) -> tuple[JobSpec, ResolvedSpec]:
    """Check all of a job spec, given as plain objects, that can be checked without training it.

    `files` finds the data that the spec names; without it such data are refused.

    Raises:
        InvalidSpec: Something is wrong; `faults` lists every place.
    """
    spec = parse_spec(document)
    if faults := check_thresholds(spec.diagnosis.thresholds):
        raise InvalidSpec(faults)
    return spec, resolve_spec(spec, limits, files)
