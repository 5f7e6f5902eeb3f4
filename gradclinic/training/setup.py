"""Everything that one training needs, made from a spec and a seed before the first step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.optim import Optimizer

from gradclinic.contract.spec import JobSpec
from gradclinic.contract.training import MetricName
from gradclinic.errors import DeviceUnavailable
from gradclinic.files import Files
from gradclinic.model import build_model, takes_tokens
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
        return self.spec.total_steps(len(self.data.train))

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one pass over the training part."""
        return self.spec.steps_per_epoch(len(self.data.train))


def make_setup(spec: JobSpec, seed: int, files: Files | None = None) -> Setup:
    """Load the data, build and initialize the network, and make the optimizer.

    Raises:
        DeviceUnavailable: This machine has no such device.
        InvalidSpec: The data cannot be read, or the layers do not fit together.
    """
    device = _device(spec.training.device)
    tokens = takes_tokens(spec.model, files)
    data = prepare_data(spec.data, files, as_tokens=tokens)
    shape, integers = data.facts.input_shape, data.facts.integers
    network = build_model(spec.model, shape, seed=seed, integers=integers, files=files).to(device)
    metrics = metrics_of(spec.training, data.facts.task)
    optimizer = _make_optimizer(spec, network)
    return Setup(spec, seed, data.to(device), network, optimizer, Criterion(spec.loss).to(device), metrics)


def reseed(setup: Setup, seed: int, files: Files | None = None) -> Setup:
    """Return the same training from another seed: a network and an optimizer of its own, over the same data."""
    facts = setup.data.facts
    network = build_model(setup.spec.model, facts.input_shape, seed=seed, integers=facts.integers, files=files)
    network = network.to(_device(setup.spec.training.device))
    return replace(setup, seed=seed, network=network, optimizer=_make_optimizer(setup.spec, network))


def _make_optimizer(spec: JobSpec, network: nn.Module) -> Optimizer:
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    made: Optimizer = getattr(torch.optim, spec.optimizer.type)(trained, **spec.optimizer.model_dump(exclude={"type"}))
    return made


def _device(name: str) -> torch.device:
    if name == "cpu":
        return torch.device(name)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    wanted = torch.device(name).index or 0
    if wanted >= count:
        raise DeviceUnavailable(
            f"The training asks for {name}, and this machine has {count} CUDA devices that torch can use. "
            'Post the job with "device": "cpu", or start a worker where there is one.'
        )
    return torch.device(name)
