"""The page's section on what is foreseen before training: what it counts, and what it holds for a false alarm."""

from gradclinic.contract.diagnosis import Diagnosis, Finding
from tools.evaluation.case import Labelled
from tools.evaluation.judging import Judged
from tools.evaluation.preflight import Foreseen, write_section


def foreseen(family, health, must=(), predicted=(), seconds=1.0):
    case = Labelled(family, family, {}, health, frozenset(must), frozenset())
    findings = [Finding(rule=rule, severity="warning", first_step=0, summary="s") for rule in predicted]
    found = "warning" if predicted else "healthy"
    return Foreseen(Judged(case, 0, Diagnosis(health=found, outcome=None, findings=findings)), seconds)


def test_a_warning_on_a_healthy_case_is_an_alarm_and_a_sick_one_that_is_missed_is_counted():
    section = write_section(
        [
            foreseen("h_fine", "healthy"),
            foreseen("h_cried", "healthy", predicted=["dead_units"]),
            foreseen(
                "vanishing", "critical", must=["vanishing_gradient"], predicted=["vanishing_gradient"], seconds=3.0
            ),
            foreseen("overfitting", "warning", must=["overfitting"]),
        ]
    )
    assert "Healthy cases with a warning or worse: 1 of 2." in section
    assert "| h_cried | 0 | dead_units |" in section
    assert "h_fine" not in section
    assert "(1/2); the rules that have to fire: 0.500" in section
    assert "1 s in the median, 3 s at most" in section


def test_without_an_alarm_none_is_listed():
    assert "healthy case |" not in write_section([foreseen("h_fine", "healthy"), foreseen("sick", "critical", ["x"])])
