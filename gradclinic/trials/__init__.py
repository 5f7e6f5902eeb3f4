"""The proof of fixes: which trainings to do next, and the verdicts that follow. It trains nothing and stores nothing."""

from gradclinic.trials.failed import failed_result
from gradclinic.trials.proof import Advance, advance

__all__ = ["Advance", "advance", "failed_result"]
