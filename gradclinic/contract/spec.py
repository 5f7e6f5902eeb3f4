"""The job spec: everything one training is made of. `gradclinic.contract.parse` reads it from a document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from gradclinic.contract.base import SpecModel, misfit
from gradclinic.contract.data import Data
from gradclinic.contract.initialization import Init
from gradclinic.contract.layers import Layers, has_batch_normalization
from gradclinic.contract.loss import Loss
from gradclinic.contract.optimizer import Optimizer
from gradclinic.contract.scheduler import CyclicLR, OneCycleLR, Scheduler, SequentialLR
from gradclinic.contract.training import DiagnosisOptions, Recording, Training, Verification

LabelKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=64)]
ArtifactId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
LabelValue = Annotated[str, Field(max_length=256)]


class Model(SpecModel):
    """A model as a list of layers."""

    layers: Layers = Field(description="The layers, from the input to the output.")
    init: Init | None = Field(None, description="Initialization of all layers; without it, PyTorch's defaults.")


class GraphModel(SpecModel):
    """A model of any architecture, as data: a graph of operators with its weights, uploaded as an artifact.

    `gradclinic.export_artifact` makes one of a PyTorch module. The training starts from the artifact's weights, whatever the
    seed, which then decides on the order of the samples and on dropout alone. As what is inside does not stand in the spec,
    a last batch of one sample is always joined to the one before it.
    """

    type: Literal["graph"] = Field(description="A graph.")
    artifact: ArtifactId = Field(
        description="The artifact's id (`POST /v1/artifacts`); on the command line, what --artifact stands in for."
    )
    init: Init | None = Field(
        None, description="Draws all weights and biases anew, by the seed; without it they start as in the artifact."
    )


def _sort_of_model(value: Any) -> str:
    """Tell a graph, which has a type, from layers; a tag is no key of either, so that errors find their place."""
    has_type = "type" in value if isinstance(value, dict) else isinstance(value, GraphModel)
    return "graph" if has_type else "of layers"


AnyModel = Annotated[
    Annotated[Model, Tag("of layers")] | Annotated[GraphModel, Tag("graph")], Discriminator(_sort_of_model)
]
"""Layers by their types, or a graph."""


class JobSpec(SpecModel):
    """A complete job: the same spec and seed give the same history."""

    name: str | None = Field(None, max_length=200, description="A name to find the job by.")
    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, max_length=32, description="Free keys and values to filter by."
    )
    model: AnyModel = Field(description="What to train: layers, or the graph of a model of your own.")
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
        return isinstance(self.model, GraphModel) or has_batch_normalization(self.model.layers)

    @property
    def trials_at_most(self) -> int | None:
        """Trainings of full length to prove fixes; None where that depends on how many are proposed."""
        return 0 if self.training.is_preflight else self.verification.trials_at_most()

    def total_steps(self, train_rows: int) -> int:
        """Return the optimizer steps of the whole training over `train_rows` rows."""
        return self.training.total_steps(train_rows, join_single=self.joins_single)

    def steps_per_epoch(self, train_rows: int) -> int:
        """Return the optimizer steps in one pass over `train_rows` rows."""
        return self.training.steps_per_epoch(train_rows, join_single=self.joins_single)
