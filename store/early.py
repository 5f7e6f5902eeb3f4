"""What is certain of a job while its baseline trains. It is shown with the progress; the diagnosis is what counts."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter

from gradclinic.contract.job import EarlyFinding
from store.claim import Claim, write_fenced
from store.tables import jobs
from store.transactions import Writer

_FINDINGS = TypeAdapter(list[EarlyFinding])


def save_early_findings(writer: Writer, claim: Claim, findings: Sequence[EarlyFinding]) -> None:
    """Keep all that is certain until now. `store.status` forgets it when the baseline is trained again.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    text = _FINDINGS.dump_json(list(findings)).decode()
    write_fenced(writer, claim, early_findings=text, version=jobs.c.version + 1)


def early_findings_from(text: str | None) -> list[EarlyFinding]:
    """Read what `save_early_findings` kept."""
    return [] if text is None else _FINDINGS.validate_json(text)
