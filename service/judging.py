"""Judging the history of a run that is stored: read as a summary, so that neither time nor memory grows with its length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.judgement import Judgement
from gradclinic.contract.parse import load_json, parse_document
from gradclinic.diagnosis import check_thresholds
from gradclinic.diagnosis.summarized import SUMMED, WHOLE, diagnose_summary
from gradclinic.errors import Fault, InvalidHistory, InvalidSpec, NoDiagnosis
from gradclinic.history import RunFacts
from store.judging import refuse_unfinished, thresholds_of
from store.summaries import read_stretch, read_summary
from store.transactions import Reader, Store

NO_FIXES = (
    "No fixes are proposed here: those of the run's own diagnosis, and their verdicts, are by its own thresholds."
)


def judge_again(store: Store, run_id: str, body: bytes) -> Diagnosis:
    """Judge a run's history by the posted thresholds. What is stored stays as it is.

    Raises:
        InvalidSpec: The document is wrong; `faults` lists every place.
        NotFound: There is no such run.
        DiagnosisNotReady: It still trains.
        NoDiagnosis: Nothing of it was recorded that could be judged.
    """
    judgement = parse_document(Judgement, load_json(body))
    if faults := check_thresholds(judgement.thresholds):
        raise InvalidSpec(
            [Fault(fault.pointer.removeprefix("/diagnosis"), fault.detail, fault.expected) for fault in faults]
        )
    with store.reading() as reader:
        refuse_unfinished(reader, run_id)
        diagnosis = judge_run(reader, run_id, thresholds_of(reader, run_id) | judgement.thresholds)
    changed = ", ".join(f"{name} {value:g}" for name, value in judgement.thresholds.items()) or "none changed"
    return diagnosis.model_copy(
        update={"notes": [*diagnosis.notes, f"Judged once more, thresholds: {changed}.", NO_FIXES]}
    )


def judge_run(reader: Reader, run_id: str, thresholds: Mapping[str, float], facts: RunFacts | None = None) -> Diagnosis:
    """Judge what is stored of a run; by other facts than the stored ones, where they are given.

    Raises:
        NotFound: There is no such run.
        NoDiagnosis: Nothing of it was recorded that could be judged.
    """
    summary = read_summary(reader, run_id, summed=SUMMED, whole=WHOLE)
    if facts is not None:
        summary = replace(summary, facts=facts)
    if not summary.tables and summary.facts.error is None and summary.facts.preflight is None:
        raise NoDiagnosis(f"Nothing of run {run_id} was recorded that could be judged.")
    try:
        with np.errstate(all="ignore"):  # whatever is sent is judged; means of infinities are no news for our log
            return diagnose_summary(summary, partial(read_stretch, reader, run_id), thresholds)
    except InvalidHistory:
        raise NoDiagnosis(f"Nothing of run {run_id} was recorded that could be judged.") from None
