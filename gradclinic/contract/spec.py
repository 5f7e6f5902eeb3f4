"""The job spec: everything one training is made of. `gradclinic.contract.parse` reads it from a document."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from gradclinic.contract.base import SpecModel, misfit
from gradclinic.contract.data import Data
from gradclinic.contract.initialization import Init
from gradclinic.contract.layers import Layers, has_batch_normalization
from gradclinic.contract.loss import Loss
from gradclinic.contract.optimizer import Optimizer
from gradclinic.contract.scheduler import CyclicLR, OneCycleLR, Scheduler, SequentialLR
from gradclinic.contract.training import DiagnosisOptions, Recording, Training, Verification

LabelKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=64)]
LabelValue = Annotated[str, Field(max_length=256)]


class Model(SpecModel):
    """A model as a list of layers."""

    layers: Layers = Field(description="The layers, from the input to the output.")
    init: Init | None = Field(None, description="Initialization of all layers; without it, PyTorch's defaults.")


class JobSpec(SpecModel):
    """A complete job: the same spec and seed give the same history."""

    name: str | None = Field(None, max_length=200, description="A name to find the job by.")
    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, max_length=32, description="Free keys and values to filter by."
    )
    model: Model = Field(description="What to train.")
    data: Data = Field(description="What to train on.")
    loss: Loss = Field(description="What to minimise.")
    optimizer: Optimizer = Field(description="How to minimise it.")
    scheduler: Scheduler | None = Field(None, description="How the learning rate changes; null keeps it.")
    training: Training = Field(default_factory=Training, description="How long and how to train.")
    recording: Recording = Field(default_factory=Recording, description="What to record, and how often.")
    diagnosis: DiagnosisOptions = Field(default_factory=DiagnosisOptions, description="How to judge.")
    verification: Verification = Field(default_factory=Verification, description="How many fixes to prove.")

    @model_validator(mode="after")
    def _has_a_momentum_to_cycle(self) -> JobSpec:
        scheduler = self.scheduler
        links = scheduler.schedulers if isinstance(scheduler, SequentialLR) else (scheduler,)
        for place, link in enumerate(links):
            cycles = isinstance(link, OneCycleLR | CyclicLR) and link.cycle_momentum
            if cycles and not {"momentum", "betas"} & set(type(self.optimizer).model_fields):
                message = f"{self.optimizer.type} has no momentum that could be cycled."
                where = f"scheduler/schedulers/{place}" if isinstance(scheduler, SequentialLR) else "scheduler"
                raise misfit(message, at=f"{where}/cycle_momentum", expected="false, or an optimizer with a momentum")
        return self

    @property
    def joins_single(self) -> bool:
        """Whether a last batch of one sample is joined to the one before: a batch normalisation cannot take it."""
        return has_batch_normalization(self.model.layers)

    def total_steps(self, train_rows: int) -> int:
        """Return the optimizer steps of the whole training over `train_rows` rows."""
        return self.training.total_steps(train_rows, join_single=self.joins_single)

    def steps_per_epoch(self, train_rows: int) -> int:
        """Return the optimizer steps in one pass over `train_rows` rows."""
        return self.training.steps_per_epoch(train_rows, join_single=self.joins_single)
