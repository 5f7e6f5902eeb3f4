"""docs/rules.md is what the rules say of themselves."""

from tools.rules_page import PAGE, write_page


def test_the_page_of_the_rules_is_up_to_date():
    assert PAGE.read_text() == write_page(), "Run `.venv/bin/python -m tools.rules_page`, and look at the difference."
