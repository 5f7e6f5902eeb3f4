"""Everything that one training needs, made from a spec and a seed before the first step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer

from gradclinic.contract.spec import JobSpec
from gradclinic.contract.training import MetricName
from gradclinic.model import build_model
from gradclinic.training.criterion import Criterion
from gradclinic.training.data import PreparedData, prepare_data
from gradclinic.training.metrics import metrics_of


@dataclass(frozen=True)
class Setup:
    """A training that can start. `metrics` names the leading one first."""

    spec: JobSpec
    seed: int
    data: PreparedData
    network: nn.Module
    optimizer: Optimizer
    criterion: Criterion
    metrics: tuple[MetricName, ...]

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return self.spec.training.total_steps(len(self.data.train))

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one pass over the training part."""
        return self.spec.training.steps_per_epoch(len(self.data.train))

    @property
    def normalises_batches(self) -> bool:
        """Whether the network has a batch normalisation, which cannot take a batch of one sample."""
        base = nn.modules.batchnorm._BatchNorm  # noqa: SLF001 - the base of all of them has no public name
        return any(isinstance(module, base) for module in self.network.modules())


def make_setup(spec: JobSpec, seed: int) -> Setup:
    """Load the data, build and initialize the network, and make the optimizer."""
    data = prepare_data(spec.data)
    network = build_model(spec.model, data.facts.input_shape, seed=seed)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer: Optimizer = getattr(torch.optim, spec.optimizer.type)(
        trained, **spec.optimizer.model_dump(exclude={"type"})
    )
    metrics = metrics_of(spec.training, data.facts.task)
    return Setup(spec, seed, data, network, optimizer, Criterion(spec.loss), metrics)
