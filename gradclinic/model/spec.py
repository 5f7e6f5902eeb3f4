"""Resolving a whole spec: shapes, fit and costs, with every fault that can be told without training."""

from __future__ import annotations

from collections.abc import Iterable

from gradclinic.contract.dataset import DataFacts
from gradclinic.contract.limits import DEFAULT_LIMITS, Limits
from gradclinic.contract.naming import without_turns
from gradclinic.contract.parse import MAX_FAULTS
from gradclinic.contract.resolved import ResolvedLayer, ResolvedSpec
from gradclinic.contract.spec import GraphModel, JobSpec
from gradclinic.errors import Fault, InvalidSpec
from gradclinic.files import Files, facts_of
from gradclinic.history.overview import STORED_BYTES
from gradclinic.model.fit import batch_faults, metric_faults, output_faults, token_faults
from gradclinic.model.graph import load_graph, resolve_graph
from gradclinic.model.layers import takes_tokens
from gradclinic.model.limits import BACKWARD_COST, Costs, batch_rows, cost_faults, data_faults, work_out_costs
from gradclinic.model.place import MODEL, model_pointer
from gradclinic.model.resolution import Entry, Resolution, shape_of
from gradclinic.model.resolver import Resolver, count_layers
from gradclinic.model.sample import Sample


def resolve_spec(spec: JobSpec, limits: Limits = DEFAULT_LIMITS, files: Files | None = None) -> ResolvedSpec:
    """Work out every shape and cost of a spec on PyTorch's `meta` device, which allocates nothing.

    `files` is where the data's files are; those of built-in data touch none.

    Raises:
        InvalidSpec: The data cannot be read, shapes do not meet, or a limit is exceeded; `faults` lists every place that can be told. Of the
            layers one after the other that is the first one only, where its output cannot be told in spite of it.
    """
    facts = facts_of(spec.data, files)
    faults = list(data_faults(spec, facts, limits))
    layers = 0 if isinstance(spec.model, GraphModel) else count_layers(spec.model.layers)
    if layers > limits.max_layers:
        detail = f"The model has {_written(layers)} layers after unrolling; the limit here is {limits.max_layers:,}."
        faults.append(Fault(MODEL.pointer, detail, f"at most {limits.max_layers:,} layers"))
    if faults:  # what is this large is not looked at any closer
        raise InvalidSpec(faults + list(metric_faults(spec, facts, None)))
    if isinstance(spec.model, GraphModel):
        graph = load_graph(spec.model, files, limits)
        layers = len(graph.document.layers)
        resolution = resolve_graph(spec, spec.model, graph, facts, limits)
    else:
        sample = Sample(facts.input_shape, facts.integers and takes_tokens(spec.model))
        resolution = Resolver(spec.model, batch_rows(spec, facts), limits).resolve(sample)
    costs = work_out_costs(spec, facts, resolution.entries.values(), shape_of(resolution.output))
    faults = [
        *resolution.faults.values(),
        *_model_faults(spec, facts, resolution, costs),
        *cost_faults(spec, costs, limits),
    ]
    if faults:
        raise InvalidSpec(faults[:MAX_FAULTS])
    return _resolved(spec, facts, resolution, costs, layers)


def is_resolvable(spec: JobSpec, limits: Limits = DEFAULT_LIMITS, files: Files | None = None) -> bool:
    """Tell whether `resolve_spec` finds nothing wrong."""
    try:
        resolve_spec(spec, limits, files)
    except InvalidSpec:
        return False
    return True


def _model_faults(spec: JobSpec, facts: DataFacts, resolution: Resolution, costs: Costs) -> Iterable[Fault]:
    if not resolution.faults and costs.trained == 0:
        reason = "Every parameter of the model is frozen" if costs.parameters else "The model has no parameters"
        yield Fault(
            model_pointer(spec.model), f"{reason}: there is nothing to train.", "a layer whose parameters are trained"
        )
    if resolution.output is not None:
        yield from output_faults(spec, facts, resolution.output.shape)
    yield from metric_faults(spec, facts, resolution.output.shape if resolution.output is not None else None)
    yield from batch_faults(spec, facts, resolution.entries.values())
    yield from token_faults(spec, facts, resolution.entries.values())


def _resolved(spec: JobSpec, facts: DataFacts, resolution: Resolution, costs: Costs, layers: int) -> ResolvedSpec:
    planned = spec.trials_at_most
    return ResolvedSpec(
        layers=[_layer(entry) for entry in resolution.entries.values()],
        input_shape=list(facts.input_shape),
        output_shape=list(shape_of(resolution.output)),
        task=facts.task,
        classes=facts.classes,
        loss=spec.loss.type,
        layers_unrolled=layers,
        parameters=costs.parameters,
        trained_parameters=costs.trained,
        train_rows=facts.train,
        validation_rows=facts.validation,
        steps=costs.steps,
        steps_per_epoch=spec.steps_per_epoch(facts.train),
        flops_per_step=costs.flops_per_step,
        flops=costs.flops,
        memory_bytes=costs.memory,
        seconds_estimate=round(costs.seconds, 3),
        trials_planned=planned,
        trials_budget=0.0 if planned == 0 else spec.verification.budget or planned,
        history_numbers=costs.history,
        history_bytes=round(STORED_BYTES * costs.history),
    )


def _layer(entry: Entry) -> ResolvedLayer:
    return ResolvedLayer(
        name=without_turns(entry.place.name),
        pointer=entry.place.pointer,
        type=entry.layer.type,
        input_shape=list(entry.input),
        output_shape=list(entry.output),
        parameters=entry.parameters,
        flops_per_step=(1 + BACKWARD_COST) * entry.flops,
        turns=entry.turns,
    )


def _written(number: int) -> str:
    """Write a count; one of a thousand digits as what it is, too many."""
    return f"{number:,}" if number < 10**15 else "more than 10^15"
