"""Whether a model's output fits the data, the loss and the metrics, as far as shapes and class counts decide it.

PyTorch lets most of these through: a loss broadcasts silently, and a training looks alive that learns nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from gradclinic.contract.dataset import DataFacts
from gradclinic.contract.feedforward import Embedding
from gradclinic.contract.loss import BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, KLDivLoss, NLLLoss
from gradclinic.contract.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from gradclinic.contract.spec import JobSpec
from gradclinic.contract.training import MetricName
from gradclinic.errors import Fault
from gradclinic.model.output import size_pointer
from gradclinic.model.resolution import Entry
from gradclinic.model.sample import Shape, shown

METRICS_OF_TASK: dict[str, tuple[MetricName, ...]] = {"classification": ("accuracy",), "regression": ("mae", "r2")}


def output_faults(spec: JobSpec, facts: DataFacts, output: Shape) -> Iterator[Fault]:
    """Yield what is wrong between the output (without the batch), the data and the loss."""
    match spec.loss:
        case CrossEntropyLoss() | NLLLoss():
            yield from _score_faults(spec, spec.loss, facts, output)
        case BCELoss() | BCEWithLogitsLoss():
            yield from _binary_faults(spec, facts, output)
        case KLDivLoss():
            yield from _distribution_faults(spec, facts, output)
        case _:
            yield from _distance_faults(spec, facts, output)


def metric_faults(spec: JobSpec, facts: DataFacts, output: Shape | None) -> Iterator[Fault]:
    """Yield the metrics asked for that the data, or the output, cannot give; `output` is None if it is not known."""
    fitting = METRICS_OF_TASK[facts.task]
    asked: list[tuple[str, str]] = [
        (f"/training/metrics/{index}", metric) for index, metric in enumerate(spec.training.metrics or ())
    ]
    if spec.training.early_stopping is not None and spec.training.early_stopping.monitor != "val_loss":
        asked.append(("/training/early_stopping/monitor", spec.training.early_stopping.monitor))
    for where, metric in asked:
        if metric not in fitting:
            detail = f"{metric} does not fit data of type {spec.data.type}, a {facts.task}."
            yield Fault(where, detail, " or ".join(fitting))
        elif metric == "accuracy" and output in _single_outputs(facts) and (facts.classes or 0) > 2:
            detail = f"accuracy cannot tell {facts.classes} classes from the single output of the model."
            yield Fault(where, detail, f"an output for each of the {facts.classes} classes, or no metrics")


def batch_faults(spec: JobSpec, facts: DataFacts, entries: Iterable[Entry]) -> Iterator[Fault]:
    """Yield what leaves a batch normalisation with a single value a feature, which has no variance."""
    starved = [
        (entry, entry.layer)
        for entry in entries
        if isinstance(entry.layer, BatchNorm1d | BatchNorm2d | BatchNorm3d) and math.prod(entry.input[1:]) == 1
    ]
    if not starved:
        return
    entry, layer = starved[0]
    reason = f"{entry.place.name} ({layer.type}) needs at least two samples to normalise over"
    if spec.training.batch_size == 1:
        yield Fault("/training/batch_size", f"{reason}, and batch_size is 1.", "2, or more")
    elif facts.train == 1:
        yield Fault("/data", f"{reason}, and there is 1 to train on.", "data with at least 2 rows to train on")
    if facts.validation == 1 and not all(layer.track_running_stats for _, layer in starved):
        detail = f"{reason} where it keeps no running statistics, and there is 1 to validate on."
        yield Fault("/data/validation_split", detail, "0, or a share of at least 2 rows")


def token_faults(spec: JobSpec, facts: DataFacts, entries: Iterable[Entry]) -> Iterator[Fault]:
    """Yield the embeddings that have fewer vectors than there are tokens. Tokens come from the data alone."""
    for entry in entries:
        if isinstance(entry.layer, Embedding) and entry.layer.num_embeddings < (facts.tokens or 0):
            detail = (
                f"{entry.place.name} (Embedding): num_embeddings is {entry.layer.num_embeddings}, too few for the "
                f"{facts.tokens} tokens of {spec.data.type}."
            )
            yield Fault(f"{entry.place.pointer}/num_embeddings", detail, f"{facts.tokens}, or more")


def _score_faults(spec: JobSpec, loss: CrossEntropyLoss | NLLLoss, facts: DataFacts, output: Shape) -> Iterator[Fault]:
    """Yield what is wrong with a loss that takes a score a class: the class dimension is the last."""
    if facts.classes is None:
        detail = f"{loss.type} tells classes apart, and data of type {spec.data.type} ask for numbers."
        yield Fault("/loss/type", detail, "MSELoss, L1Loss or HuberLoss")
        return
    where, wanted = size_pointer(spec.model), shown((*_indexed(facts), facts.classes))
    if facts.one_hot and isinstance(loss, NLLLoss):
        yield Fault("/data/one_hot", "NLLLoss takes class indices, and one_hot makes vectors of them.", "false")
    elif facts.one_hot and loss.ignore_index >= 0:
        detail = "ignore_index names a class index, and one_hot makes vectors of them."
        yield Fault("/loss/ignore_index", detail, "no ignore_index, or one_hot false")
    if output[:-1] != _indexed(facts) or not output:
        detail = f"The model's output is {shown(output)}; {loss.type} takes one score a class, {wanted}."
        yield Fault(where, detail, f"an output of {wanted}; {_way_to_scores(facts)}")
        return
    if output[-1] < facts.classes:
        detail = f"The model's output is {shown(output)}, too few for the {facts.classes} classes of {spec.data.type}."
        yield Fault(where, detail, f"{facts.classes}")
    elif facts.one_hot and output[-1] > facts.classes:
        detail = f"The model's output is {shown(output)} and the one-hot targets are {shown(facts.target_shape)}."
        yield Fault(where, detail, f"{facts.classes}")
    if loss.weight is not None and len(loss.weight) != output[-1]:
        detail = f"There are {len(loss.weight)} weights for the {output[-1]} outputs of the model."
        yield Fault("/loss/weight", detail, f"a list of {output[-1]} numbers")


def _way_to_scores(facts: DataFacts) -> str:
    if _indexed(facts):
        return "a recurrent layer with output 'sequence' keeps the steps"
    return "a Flatten joins dimensions, a Mean or Select over the steps makes one answer of a sequence"


def _binary_faults(spec: JobSpec, facts: DataFacts, output: Shape) -> Iterator[Fault]:
    """Yield what is wrong with a binary loss: one number a target for two classes, or one a class of one-hot targets."""
    name = spec.loss.type
    if facts.one_hot:
        yield from _equal_faults(spec, facts, output)
    elif facts.classes != 2:
        asked = "numbers" if facts.classes is None else f"{facts.classes} classes"
        detail = f"{name} tells two classes apart, and data of type {spec.data.type} ask for {asked}."
        right = "MSELoss, L1Loss or HuberLoss" if facts.classes is None else "CrossEntropyLoss, or one_hot true"
        yield Fault("/loss/type", detail, right)
    elif output not in _single_outputs(facts):
        takes = "one logit" if isinstance(spec.loss, BCEWithLogitsLoss) else "one probability"
        detail = f"The model's output is {shown(output)}; {name} takes {takes} a target, {shown(_single(facts))}."
        yield Fault(size_pointer(spec.model), detail, "1, or CrossEntropyLoss with an output a class")


def _distance_faults(spec: JobSpec, facts: DataFacts, output: Shape) -> Iterator[Fault]:
    """Yield what is wrong with a loss that measures distances; class indices can be measured as one number alone."""
    if facts.classes is None or facts.one_hot:
        yield from _equal_faults(spec, facts, output)
    elif output not in _single_outputs(facts):
        detail = (
            f"The model's output is {shown(output)} and the targets are class indices {shown(facts.target_shape)}; "
            f"{spec.loss.type} would broadcast the two silently."
        )
        expected = "1, one_hot targets, or CrossEntropyLoss with an output a class"
        yield Fault(size_pointer(spec.model), detail, expected)


def _distribution_faults(spec: JobSpec, facts: DataFacts, output: Shape) -> Iterator[Fault]:
    """Yield what is wrong with a loss that compares distributions."""
    if facts.classes is not None and not facts.one_hot:
        detail = "KLDivLoss compares distributions, and the targets are class indices."
        yield Fault("/data/one_hot", detail, "true")
    elif facts.targets == 1:
        detail = f"KLDivLoss compares distributions, and data of type {spec.data.type} ask for a single number."
        yield Fault("/loss/type", detail, "MSELoss, L1Loss or HuberLoss")
    else:
        yield from _equal_faults(spec, facts, output)


def _equal_faults(spec: JobSpec, facts: DataFacts, output: Shape) -> Iterator[Fault]:
    """Yield the fault of an output whose shape is not that of the targets."""
    if output != facts.target_shape:
        detail = (
            f"The model's output is {shown(output)} and the targets are {shown(facts.target_shape)}; "
            f"{spec.loss.type} would broadcast the two silently, or refuse them."
        )
        wanted = facts.target_shape
        expected = f"{wanted[0]}" if len(wanted) == len(output) == 1 else f"an output of {shown(wanted)}"
        yield Fault(size_pointer(spec.model), detail, expected)


def _indexed(facts: DataFacts) -> Shape:
    """Return the shape of the class indices of one sample: () for one, (steps,) for one a step."""
    return () if facts.one_hot else facts.target_shape


def _single(facts: DataFacts) -> Shape:
    return (*_indexed(facts), 1)


def _single_outputs(facts: DataFacts) -> tuple[Shape, Shape]:
    """Return the outputs that are one number a class index: [N] and [N, 1], or [N, T] and [N, T, 1]."""
    return _indexed(facts), _single(facts)
