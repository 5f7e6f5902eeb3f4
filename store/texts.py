"""Texts to look for, refused before a database does so in its own words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gradclinic.contract.naming import is_storable_text
from gradclinic.errors import Fault, InvalidSpec


def refuse_unstorable(texts: Mapping[str, Iterable[str]]) -> None:
    """Refuse texts, given by the pointer to name them by, that no row can hold.

    Raises:
        InvalidSpec: Some are such. Looking for them would only break the query.
    """
    wrong = [at for at, several in texts.items() if not all(is_storable_text(text) for text in several)]
    if wrong:
        raise InvalidSpec([Fault(at, "This text holds a character that cannot be stored.", "text") for at in wrong])
