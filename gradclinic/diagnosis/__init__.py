"""Diagnosing a recorded history: symptoms, what they do to learning, and what brings them about. Knows no torch.

Adding a rule is one file in `rules/` and one line in `RULES`.
"""

from gradclinic.diagnosis.diagnose import RULES, catalogue, diagnose
from gradclinic.diagnosis.early import EarlyWord, certain_findings
from gradclinic.diagnosis.thresholds import THRESHOLDS, check_thresholds

__all__ = ["RULES", "THRESHOLDS", "EarlyWord", "catalogue", "certain_findings", "check_thresholds", "diagnose"]
