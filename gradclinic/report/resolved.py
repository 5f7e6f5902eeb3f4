"""How a resolved spec is laid out for a terminal: each layer with its shapes, and what the training will take."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gradclinic.contract.resolved import ResolvedSpec
from gradclinic.report.writing import foreign

_PREFIXES = ("", "k", "M", "G", "T", "P")


def render_resolved(resolved: ResolvedSpec) -> RenderableType:
    """Lay out a spec that is right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("layer")
    table.add_column("type")
    table.add_column("turns", justify="right")
    table.add_column("one sample goes in as, and comes out as")
    table.add_column("parameters", justify="right")
    for layer in resolved.layers:
        shapes = f"{_shape(layer.input_shape)} -> {_shape(layer.output_shape)}"
        turns = str(layer.turns) if layer.turns > 1 else ""
        parameters = f"{layer.parameters:,}" if layer.parameters else ""
        table.add_row(foreign(layer.name), Text(layer.type, "bold"), turns, shapes, parameters)
    frozen = resolved.parameters - resolved.trained_parameters
    rows = f"{resolved.train_rows:,} samples to train on, {resolved.validation_rows:,} to validate"
    costs = (
        f"{resolved.parameters:,} parameters{f', {frozen:,} of them frozen' if frozen else ''}; "
        f"{_large(resolved.flops_per_step)}FLOP a step, {_large(resolved.flops)}FLOP in all; "
        f"{_large(resolved.memory_bytes)}B of memory"
    )
    steps = f"{resolved.steps:,} steps, {resolved.steps_per_epoch:,} an epoch"
    history = (
        f"a history of at most {_large(resolved.history_numbers).rstrip()} numbers, "
        f"about {_large(resolved.history_bytes)}B in the database"
    )
    lines = (f"{rows}; {steps}", costs, history, _proof(resolved))
    return Group(Text("The spec is right.", "bold green"), "", table, "", *lines)


def _proof(resolved: ResolvedSpec) -> str:
    """Say what proving fixes may take."""
    planned, budget = resolved.trials_planned, resolved.trials_budget
    if planned == 0:
        return "no fixes are proven"
    most = "as many trainings as all fixes need" if budget is None else f"at most the cost of {budget:g} such trainings"
    return f"to prove fixes, if anything is to be mended: {most}"


def _shape(sizes: Sequence[int]) -> str:
    return f"[{', '.join(map(str, sizes))}]"


def _large(amount: float) -> str:
    """Write a large amount with a prefix: 1234567 as `1.23 M`."""
    for prefix in _PREFIXES[:-1]:
        if amount < 1000:
            return f"{amount:.3g} {prefix}"
        amount /= 1000
    return f"{amount:.3g} {_PREFIXES[-1]}"
