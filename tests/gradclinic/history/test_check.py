import numpy as np
import pytest

from gradclinic.contract.external import LAST_STEP, MAX_COLUMNS
from gradclinic.history import SignalTable
from gradclinic.history.check import check_tables, numbers_in


def table_of(*subjects: str, steps: tuple[int, ...] = (0, 1)) -> SignalTable:
    return SignalTable(np.array(steps, np.int64), subjects, np.ones((len(steps), len(subjects))))


def test_a_history_as_the_recorder_makes_it_is_right():
    tables = {
        "loss": table_of(""),
        "grad_norm": table_of("", "a.weight", "b[3].ünï weight"),
        "dead_fraction": table_of("a"),
        "my.own-value:x@1": table_of("", "a"),
        "val_loss": table_of("", steps=(LAST_STEP,)),
    }
    assert check_tables(tables) == []
    assert numbers_in(tables) == 2 + 6 + 2 + 4 + 1


@pytest.mark.parametrize(
    ("signal", "table", "pointer"),
    [
        ("loss", table_of("a"), "/columns/a~1loss"),
        ("loss", table_of("", "a"), "/columns/loss"),
        ("dead_fraction", table_of("", "a"), "/columns/dead_fraction"),
        ("grad_norm", table_of("a"), "/columns/a~1grad_norm"),
        ("own", table_of("a", "a"), "/columns/a~1own"),
        ("own", table_of("a\nb"), "/columns/a\nb~1own"),
        ("own", table_of("a\0"), "/columns/a\0~1own"),
        ("own", table_of("\ud800"), "/columns/\ud800~1own"),
        ("own", table_of("a" * 301), f"/columns/{'a' * 300}~1own"),
        ("", table_of(""), "/columns/"),
        ("a,b", table_of(""), "/columns/a,b"),
        ("a/b", table_of(""), "/columns/a~1b"),
        ("x" * 101, table_of(""), f"/columns/{'x' * 101}"),
        ("own", table_of("", steps=(3, 3)), "/steps"),
        ("own", table_of("", steps=(4, 3)), "/steps"),
        ("own", table_of("", steps=(-1, 3)), "/steps"),
        ("own", table_of("", steps=(LAST_STEP + 1,)), "/steps"),
        ("own", table_of("", steps=()), "/columns/own"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(signal: str, table: SignalTable, pointer: str):
    faults = check_tables({"lr": table_of(""), signal: table})
    assert [fault.pointer for fault in faults] == [pointer]
    assert faults[0].expected


def test_too_much_is_told_with_figure_and_limit():
    [fault] = check_tables({f"s{n}": table_of("") for n in range(201)})
    assert ("201" in fault.detail, "200" in str(fault.expected)) == (True, True)
    names = tuple(map(str, range(MAX_COLUMNS)))
    [fault] = check_tables({"a": table_of(*names, steps=(0,)), "b": table_of("")})
    assert ("100,001" in fault.detail, "100,000" in str(fault.expected)) == (True, True)
    [fault] = check_tables({"a": table_of(*names, steps=tuple(range(41)))})
    assert ("4,100,000" in fault.detail, "4,000,000" in str(fault.expected)) == (True, True)


def test_no_more_than_a_hundred_faults_are_listed():
    assert len(check_tables({"own": table_of(*(f"a\n{n}" for n in range(500)))})) == 100
