"""What another version stored, as this one reads it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from sqlalchemy import update

from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.contract.job import Job
from store.claim import Claim
from store.diagnoses import find_diagnosis
from store.stored import UnreadableRecord, read_document, read_stored
from store.tables import diagnoses
from store.transactions import Store
from tests.attempts import FINDING, diagnosis_of, end_baseline


def test_a_key_that_a_newer_version_knows_is_left_out_at_any_depth(
    store: Store, post_job: Callable[[], Job], claim: Callable[[Job], Claim]
):
    held, diagnosis = claim(post_job()), diagnosis_of("critical", findings=[FINDING])
    newer = json.loads(diagnosis.model_dump_json())
    newer["newer"] = newer["findings"][0]["newer"] = [1]
    with store.writing() as writer:
        end_baseline(writer, held, "critical", findings=[FINDING])
        writer.connection.execute(update(diagnoses).values(document=json.dumps(newer)))
    with store.reading() as reader:
        assert find_diagnosis(reader, held.run_id) == diagnosis


@pytest.mark.parametrize("text", ["{}", "", '{"health": "splendid", "outcome": null, "findings": []}'])
def test_what_lacks_something_or_says_what_nobody_knows_is_unreadable(text: str):
    with pytest.raises(UnreadableRecord, match="A stored Diagnosis cannot be read"):
        read_stored(Diagnosis, text)


def test_what_is_no_json_is_unreadable():
    with pytest.raises(UnreadableRecord, match="A stored document cannot be read"):
        read_document('{"model": ')
