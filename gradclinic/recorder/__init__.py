"""Recording gradient histories inside a PyTorch training loop, ours or a user's own."""

from gradclinic.recorder.recorder import Recorder
from gradclinic.recorder.schedule import DEFAULT_SCHEDULE, DENSE_STEPS, schedule_of

__all__ = ["DEFAULT_SCHEDULE", "DENSE_STEPS", "Recorder", "schedule_of"]
