"""What is known about a training beside its signals: before its first step, and once more after its last."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradclinic.history import InputFacts, LayerFacts, Restraint, RunFacts, TargetFacts
from gradclinic.training.data import Part
from gradclinic.training.evaluation import judge_trivial
from gradclinic.training.probes import noise_scale, time_gains
from gradclinic.training.setup import Setup

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


def facts_before(setup: Setup, watched: RunFacts) -> RunFacts:
    """Add to what the recorder knows what spec, data and the network's initial state say."""
    training = setup.spec.training
    gains = time_gains(setup)
    return watched.model_copy(
        update={
            "layers": [_layer(setup.network, layer, gains.get(layer.name)) for layer in watched.layers],
            "loss": setup.spec.loss.type,
            "task": setup.data.facts.task,
            "metric": setup.metrics[0],
            "steps_planned": setup.steps,
            "steps_per_epoch": setup.steps_per_epoch,
            "batch_size": training.batch_size,
            "rate_is_constant": setup.spec.scheduler is None,
            "judged_samples": len(setup.data.judged),
            "parameters": sum(parameter.numel() for parameter in setup.network.parameters()),
            "inputs": _inputs(setup.data.train),
            "targets": _targets(setup.data.train, setup.data.facts.classes),
            "restraint": _restraint(setup),
            "trivial": judge_trivial(setup),
        }
    )


def facts_after(setup: Setup, known: RunFacts) -> RunFacts:
    """Add what the network's last state says."""
    return known.model_copy(update={"noise_scale": noise_scale(setup)})


def _inputs(part: Part) -> InputFacts | None:
    """Return the scales of the features; None for tokens, which have none."""
    if not part.inputs.is_floating_point() or not len(part):
        return None
    # A table has features of their own; the elements of images and sequences have one scale.
    squares = part.inputs.double().square()
    means = squares.mean(dim=0) if part.inputs.dim() == 2 else squares.mean().reshape(1)
    scales = means.sqrt()[means > 0]
    if not len(scales):
        return None
    return InputFacts(largest_scale=float(scales.max()), smallest_scale=float(scales.min()))


def _targets(part: Part, classes: int | None) -> TargetFacts | None:
    if classes is not None:
        labels = part.targets if not part.targets.is_floating_point() else part.targets.argmax(dim=-1)
        counts = torch.bincount(labels.reshape(-1), minlength=classes).double()
        return TargetFacts(class_shares=(counts / counts.sum()).tolist())
    values = part.targets.double()
    if not values.numel():
        return None
    scale = float(values.square().mean().sqrt())
    return TargetFacts(lowest=float(values.min()), highest=float(values.max()), scale=scale)


def _restraint(setup: Setup) -> Restraint:
    options = setup.optimizer.defaults
    decoupled = setup.spec.optimizer.type == "AdamW" or bool(options.get("decoupled_weight_decay", False))
    dropouts = [float(module.p) for module in setup.network.modules() if isinstance(module, DROPOUTS)]
    return Restraint(
        weight_decay=float(options.get("weight_decay", 0.0)),
        is_decoupled=decoupled,
        l1=setup.spec.training.l1,
        dropout=max(dropouts, default=0.0),
    )


def _layer(network: nn.Module, layer: LayerFacts, time_gain: float | None) -> LayerFacts:
    parameters = dict(network.named_parameters())
    weights = [parameters[name] for name in layer.parameters if name in parameters and parameters[name].dim() > 1]
    shares = [_share_alike(weight) for weight in weights if len(weight) > 1]
    return layer.model_copy(update={"alike_units": max(shares, default=None), "time_gain": time_gain})


@torch.no_grad()
def _share_alike(weight: Tensor) -> float:
    """Return the share of rows (units) of a weight (units, ...) that equal another row, bit for bit."""
    _, counts = torch.unique(weight.reshape(len(weight), -1), dim=0, return_counts=True)
    return float(counts[counts > 1].sum()) / len(weight)
