"""The exit codes, and which one a diagnosis or an error ends with. Prints nothing."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from gradclinic.cli.problems import NotFinished
from gradclinic.contract.diagnosis import Diagnosis
from gradclinic.errors import Conflict, GradclinicError, InvalidHistory, InvalidSpec, KeyReused, NotFound, RequestFailed


class ExitCode(IntEnum):
    """What the program ends with; part of the contract."""

    HEALTHY_ENOUGH = 0
    FINDING = 1
    WRONG_CALL = 2
    NOT_DONE = 3
    NOT_FINISHED = 4


FailOn = Literal["info", "warning", "critical", "never"]

_ORDER: tuple[FailOn, ...] = ("info", "warning", "critical", "never")


def exit_code_of(diagnosis: Diagnosis, fail_on: FailOn) -> ExitCode:
    """Return FINDING where a finding is at least as severe as `fail_on`."""
    limit = _ORDER.index(fail_on)
    found = any(_ORDER.index(finding.severity) >= limit for finding in diagnosis.findings)
    return ExitCode.FINDING if found else ExitCode.HEALTHY_ENOUGH


def exit_code_of_error(error: GradclinicError) -> ExitCode:
    """Return WRONG_CALL where the caller can mend it, else NOT_DONE."""
    match error:
        case RequestFailed():
            # 408 and 429 ask to come again: nothing is wrong with the call.
            return ExitCode.WRONG_CALL if error.status < 500 and error.status not in {408, 429} else ExitCode.NOT_DONE
        case NotFinished():
            return ExitCode.NOT_FINISHED
        case InvalidSpec() | InvalidHistory() | NotFound() | Conflict() | KeyReused():
            return ExitCode.WRONG_CALL
        case _:
            return ExitCode.NOT_DONE
