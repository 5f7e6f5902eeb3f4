"""Which form an Accept header asks for (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import pytest

from service.history_answer import FORMATS
from service.negotiation import choose_form

ARROW = "application/vnd.apache.arrow.stream"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "json"),
        ("", "json"),
        ("nonsense", "json"),
        ("*/*", "json"),
        ("application/json", "json"),
        ("APPLICATION/JSON", "json"),
        ("text/csv", "csv"),
        ("text/csv; charset=utf-8; header=present", "csv"),
        ("text/*", "csv"),
        ("application/*", "json"),
        (ARROW, "arrow"),
        (f"{ARROW}, text/csv", "csv"),  # both as well: the order of the header says nothing, ours does
        (f"text/csv;q=0.5, {ARROW};q=0.6", "arrow"),
        (f"text/csv;q=0.5, {ARROW} ; q=0.6, */*;q=0.1", "arrow"),
        ("application/json;q=0.5, text/csv", "csv"),
        ("application/json;q=0, */*", "csv"),
        ("application/json;q=0, application/*", "arrow"),
        ("*/*;q=0.1, text/csv;q=0", "json"),
        ('text/csv;x="a,b;q=0";q=0.9, application/json;q=0.8', "csv"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "json"),
        ("text/html", None),
        ("application/json;q=0", None),
        ("*/*;q=0", None),
        ("image/*, text/html", None),
    ],
)
def test_the_form_that_is_liked_best(accept: str | None, form: str | None):
    assert choose_form(accept, FORMATS) == form
