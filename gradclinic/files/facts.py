"""The facts of any data set that a model has to fit; those that have to be read for it are read."""

from __future__ import annotations

from pydantic_core import PydanticCustomError

from gradclinic.contract.data import AnyData
from gradclinic.contract.dataset import DataFacts, RawFacts, facts_of_rows, misfits_of
from gradclinic.contract.file_data import Inline
from gradclinic.errors import Fault, InvalidSpec
from gradclinic.files.files import Files
from gradclinic.files.readers import read_facts


def facts_of(data: AnyData, files: Files | None = None) -> DataFacts:
    """Return the facts of a data set. The built-in ones touch no file.

    Raises:
        InvalidSpec: A file is missing, cannot be read or holds something else, or the data set cannot give what was
            asked of it; every fault has its place under `/data`.
    """
    raw = data.raw_facts()
    if raw is None or isinstance(
        data, Inline
    ):  # of inline data the contract knows the shapes, and not whether they fit
        raw = check_asked(data, read_facts(data, files))
    return facts_of_rows(data, raw)


def check_asked(data: AnyData, raw: RawFacts) -> RawFacts:
    """Return what a data set holds, if that can give what was asked of it.

    Raises:
        InvalidSpec: It cannot.
    """
    if misfits := misfits_of(data, raw):
        raise InvalidSpec([_fault(misfit) for misfit in misfits])
    return raw


def _fault(misfit: Exception) -> Fault:
    if not isinstance(misfit, PydanticCustomError):
        raise misfit
    context = misfit.context or {}
    return Fault(f"/data/{context['at']}", str(context["said"]), context["expected"])
