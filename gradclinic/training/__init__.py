"""Training a job spec: its data, its loop, and what was recorded on the way. Knows no database and no queue."""

from gradclinic.training.early import EarlyObserver
from gradclinic.training.loop import Observer, Trained, train
from gradclinic.training.threads import set_threads

__all__ = ["EarlyObserver", "Observer", "Trained", "set_threads", "train"]
