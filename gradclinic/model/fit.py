"""Whether a model's output fits the data, the loss and the metrics, as far as shapes and class counts decide it.

PyTorch lets most of these through: a loss broadcasts silently, and a training looks alive that learns nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from gradclinic.contract.activations import Activation
from gradclinic.contract.data import DataFacts
from gradclinic.contract.layers import BatchNorm1d, Dropout, LayerNorm, Layers, Linear, Repeat, Sequential
from gradclinic.contract.loss import BCEWithLogitsLoss, CrossEntropyLoss
from gradclinic.contract.spec import JobSpec
from gradclinic.contract.training import MetricName
from gradclinic.errors import Fault
from gradclinic.model.layers import Shape, shown
from gradclinic.model.place import MODEL
from gradclinic.model.resolution import Entry

ONE_NUMBER: tuple[Shape, ...] = ((), (1,))
"""The outputs that are one number a sample: [N] and [N, 1]."""

METRICS_OF_TASK: dict[str, tuple[MetricName, ...]] = {"classification": ("accuracy",), "regression": ("mae", "r2")}


def output_faults(spec: JobSpec, facts: DataFacts, output: Shape) -> Iterator[Fault]:
    """Yield what is wrong between the output (without the batch), the data and the loss."""
    match spec.loss:
        case CrossEntropyLoss():
            yield from _cross_entropy_faults(spec, spec.loss, facts, output)
        case BCEWithLogitsLoss():
            yield from _binary_faults(spec, facts, output)
        case _:
            yield from _distance_faults(spec, facts, output)


def metric_faults(spec: JobSpec, facts: DataFacts, output: Shape | None) -> Iterator[Fault]:
    """Yield the metrics asked for that the data, or the output, cannot give; `output` is None if it is not known."""
    for index, metric in enumerate(spec.training.metrics or ()):
        where, fitting = f"/training/metrics/{index}", METRICS_OF_TASK[facts.task]
        if metric not in fitting:
            yield Fault(
                where, f"{metric} does not fit data of type {spec.data.type}, a {facts.task}.", _either(fitting)
            )
        elif metric == "accuracy" and output in ONE_NUMBER and (facts.classes or 0) > 2:
            detail = f"accuracy cannot tell {facts.classes} classes from the single output of the model."
            yield Fault(where, detail, f"an output for each of the {facts.classes} classes, or no metrics")


def batch_faults(spec: JobSpec, facts: DataFacts, entries: Iterable[Entry]) -> Iterator[Fault]:
    """Yield what leaves a batch normalisation with a single value a feature, which has no variance."""
    starved = [e for e in entries if isinstance(e.layer, BatchNorm1d) and math.prod(e.input[1:]) == 1]
    if not starved:
        return
    reason = f"{starved[0].place.name} (BatchNorm1d) needs at least two samples to normalise over"
    if spec.training.batch_size == 1:
        yield Fault("/training/batch_size", f"{reason}, and batch_size is 1.", "2, or more")
    elif facts.train == 1:
        yield Fault("/data", f"{reason}, and there is 1 to train on.", "data with at least 2 rows to train on")
    if facts.validation == 1 and any(isinstance(e.layer, BatchNorm1d) and not _keeps_statistics(e) for e in starved):
        detail = f"{reason} where it keeps no running statistics, and there is 1 to validate on."
        yield Fault("/data/validation_split", detail, "0, or a share of at least 2 rows")


def _keeps_statistics(entry: Entry) -> bool:
    return isinstance(entry.layer, BatchNorm1d) and entry.layer.track_running_stats


def _cross_entropy_faults(spec: JobSpec, loss: CrossEntropyLoss, facts: DataFacts, output: Shape) -> Iterator[Fault]:
    if facts.classes is None:
        detail = f"CrossEntropyLoss tells classes apart, and data of type {spec.data.type} ask for numbers."
        yield Fault("/loss/type", detail, "MSELoss, L1Loss or HuberLoss")
        return
    where, wanted = size_pointer(spec.model.layers), f"[N, {facts.classes}]"
    if len(output) != 1:
        detail = f"The model's output is {shown(output)}; CrossEntropyLoss takes one score a class, {wanted}."
        yield Fault(where, detail, f"an output of {wanted}; a Flatten joins dimensions")
        return
    if output[0] < facts.classes:
        detail = f"The model's output is {shown(output)}, too few for the {facts.classes} classes of {spec.data.type}."
        yield Fault(where, detail, f"{facts.classes}")
    if loss.weight is not None and len(loss.weight) != output[0]:
        detail = f"There are {len(loss.weight)} weights for the {output[0]} outputs of the model."
        yield Fault("/loss/weight", detail, f"a list of {output[0]} numbers")


def _binary_faults(spec: JobSpec, facts: DataFacts, output: Shape) -> Iterator[Fault]:
    if facts.classes != 2:
        asked = "numbers" if facts.classes is None else f"{facts.classes} classes"
        detail = f"BCEWithLogitsLoss tells two classes apart, and data of type {spec.data.type} ask for {asked}."
        right = "MSELoss, L1Loss or HuberLoss" if facts.classes is None else "CrossEntropyLoss"
        yield Fault("/loss/type", detail, right)
    elif output not in ONE_NUMBER:
        detail = f"The model's output is {shown(output)}; BCEWithLogitsLoss takes one logit a sample, [N, 1]."
        yield Fault(size_pointer(spec.model.layers), detail, "1, or CrossEntropyLoss with an output a class")


def _distance_faults(spec: JobSpec, facts: DataFacts, output: Shape) -> Iterator[Fault]:
    """Yield what is wrong with a loss that measures distances; class indices can be measured as one number alone."""
    where, name = size_pointer(spec.model.layers), spec.loss.type
    if facts.classes is None and output != (facts.targets,):
        detail = (
            f"The model's output is {shown(output)} and the targets are {shown((facts.targets,))}; "
            f"{name} would broadcast the two silently."
        )
        yield Fault(where, detail, f"{facts.targets}")
    elif facts.classes is not None and output not in ONE_NUMBER:
        detail = (
            f"The model's output is {shown(output)} and the targets are class indices [N]; "
            f"{name} would broadcast the two silently."
        )
        yield Fault(where, detail, "1, or CrossEntropyLoss with an output a class")


def size_pointer(layers: Layers, pointer: str = MODEL.pointer) -> str:
    """Return the pointer of what sets the size of the output: the last Linear's `out_features` if it decides."""
    for index in range(len(layers) - 1, -1, -1):
        layer, where = layers[index], f"{pointer}/{index}"
        match layer:
            case Activation() | Dropout() | BatchNorm1d() | LayerNorm():
                continue  # these keep the size
            case Linear():
                return f"{where}/out_features"
            case Sequential() | Repeat():
                return size_pointer(layer.layers, f"{where}/layers")
            case _:
                return where
    return pointer


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(names)
