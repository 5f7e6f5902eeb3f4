"""Making an artifact of a PyTorch module: its graph by `torch.export`, its weights, and the proof that both are the model."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gradclinic.contract.limits import Limits
from gradclinic.errors import InvalidSpec, NotExportable
from gradclinic.graph import METADATA_KEY, VERSION, Graph, read_graph
from gradclinic.model.graph import GraphNetwork
from gradclinic.model.graph.build import network_of
from gradclinic.model.graph.trace import Traced, trace

UNLIMITED = Limits(max_layers=10**6, max_parameters=10**12, max_memory=10**13)
"""What an artifact may hold here; whoever trains it has limits of their own."""

TOLERANCE = 1e-4
"""Relative to the largest output: by how much artifact and model may differ."""


def export_artifact(
    model: nn.Module,
    example_inputs: Tensor | Sequence[Tensor],
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
) -> Graph:
    """Write a model as an artifact that gradclinic can train: its graph and its weights, in one safetensors file.

    The model is exported as it trains and as it evaluates, its batch of any size, and what was written is run beside the
    model, in both modes, before it counts. The model itself stays as it is.

    Args:
        model: Any module of float32 that takes one tensor, the batch first, and returns one.
        example_inputs: A batch as the model takes it, float32 or int64 (tokens); its numbers do not matter.
        path: The file to write.
        name: What to call the model; by default its class.

    Returns:
        The graph as it was written.

    Raises:
        NotExportable: The model does something that no artifact can hold; the message names it and where it stands.
    """
    inputs = _single(example_inputs)
    _check_tensors(model)
    with _in_both_modes(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.export warns of what its users cannot change, such as LSTM's own lists
        traced = trace(model, _exported(model.train(), inputs), _exported(model.eval(), inputs))
        if traced.refused:
            listed = "; ".join(dict.fromkeys(traced.refused))
            raise NotExportable(f"{type(model).__name__} cannot be an artifact. Not possible there: {listed}.")
        return _write(model, traced, inputs, Path(path), name or type(model).__name__)


def _single(example_inputs: Tensor | Sequence[Tensor]) -> Tensor:
    given = [example_inputs] if isinstance(example_inputs, Tensor) else list(example_inputs)
    if len(given) != 1 or not isinstance(given[0], Tensor):
        raise NotExportable(f"{len(given)} inputs were given. A model takes one tensor, the batch first: (N, ...).")
    if given[0].dim() < 1 or given[0].dtype not in (torch.float32, torch.int64) or not given[0].numel():
        kind = f"{list(given[0].shape)} of {given[0].dtype}"
        raise NotExportable(f"The input is {kind}, where a batch (N, ...) of float32, or of int64 tokens, is expected.")
    # PyTorch takes a batch of one for a size of the model's own.
    return torch.cat([given[0]] * 2) if len(given[0]) == 1 else given[0]


def _check_tensors(model: nn.Module) -> None:
    wrong = [
        f"{name} ({parameter.dtype})"
        for name, parameter in model.named_parameters()
        if parameter.dtype != torch.float32
    ]
    if wrong:
        raise NotExportable(
            f"Parameters have to be float32: model.float() makes them so. These are not: {', '.join(wrong)}."
        )


@contextmanager
def _in_both_modes(model: nn.Module) -> Iterator[None]:
    """Put every module's mode and every buffer back at the end; attention takes the way that can be trained."""
    modes = {module: module.training for module in model.modules()}
    buffers = {buffer: buffer.detach().clone() for buffer in model.buffers()}
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(value=False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(value=fast)
        for module, mode in modes.items():
            module.training = mode
        with torch.no_grad():
            for buffer, value in buffers.items():
                buffer.copy_(value)


def _exported(model: nn.Module, inputs: Tensor) -> torch.export.ExportedProgram:
    try:
        return torch.export.export(model, (inputs,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), strict=False)
    except Exception as error:  # whatever PyTorch, or the model's own code under it, says
        raise NotExportable(_reason(model, inputs, error)) from error


def _reason(model: nn.Module, inputs: Tensor, error: Exception) -> str:
    words = " ".join(line.strip() for line in str(error).strip().splitlines()[:6])[:600]
    if "specialized" in words or "Constraints violated" in words:
        return (
            f"{type(model).__name__} is made for batches of {len(inputs)}: a size of the batch stands in it as a number, in a "
            f'view or reshape, say. Write x.shape[0] or -1 there. PyTorch says: "{words}"'
        )
    return (
        f"{type(model).__name__} cannot be exported by torch.export: what its forward does has to follow from shapes, not from "
        f'the numbers in its tensors. PyTorch says: "{words}"'
    )


def _write(model: nn.Module, traced: Traced, inputs: Tensor, path: Path, name: str) -> Graph:
    """Write the file under another name first: what cannot be read again, or computes something else, is no artifact."""
    told, tensors = _tensors(model, traced)
    document = {
        "version": VERSION,
        "torch": torch.__version__,
        "name": name[:200],
        "input": {
            "name": traced.input,
            "shape": list(inputs.shape[1:]),
            "dtype": str(inputs.dtype).removeprefix("torch."),
        },
        "tensors": told,
        "layers": traced.layers,
        "nodes": traced.nodes,
        "output": traced.output,
    }
    with tempfile.TemporaryDirectory(dir=path.resolve().parent) as folder:
        written = Path(folder, "artifact.safetensors")
        save_file(
            tensors, written, metadata={METADATA_KEY: json.dumps(document, allow_nan=False, separators=(",", ":"))}
        )
        try:
            graph = read_graph(written, UNLIMITED)
            network = network_of(written, graph)
        except InvalidSpec as refused:
            raise NotExportable(
                f"{type(model).__name__} cannot be an artifact. {refused.faults[0].detail}"
            ) from refused
        _compare(model, network, inputs)
        written.replace(path)
    return graph


def _tensors(model: nn.Module, traced: Traced) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what the graph says of each tensor, and those that are stored; one that is shared is stored once."""
    told: dict[str, Any] = {}
    stored: dict[str, Tensor] = {}
    first: dict[Tensor, str] = {}
    parameters = dict(model.named_parameters(remove_duplicate=False))
    buffers = {key: buffer for key, buffer in model.named_buffers(remove_duplicate=False) if key in traced.buffers}
    for kind, tensors in (("parameter", parameters), ("buffer", buffers), ("constant", traced.constants)):
        for key, tensor in tensors.items():
            told[key] = {"kind": kind} | ({"trained": True} if kind == "parameter" and tensor.requires_grad else {})
            if tensor in first:
                told[key] |= {"same": first[tensor]}
            else:
                first[tensor] = key
                stored[key] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return told, stored


def _compare(model: nn.Module, network: GraphNetwork, inputs: Tensor) -> None:
    """Run model and artifact on the same batch, with the same seed, while training and in evaluation."""
    network.to(inputs.device)
    for training in (False, True):
        mode = "while training" if training else "in evaluation"
        expected = _run(model.train(training), inputs)
        try:
            given = _run(network.train(training), inputs)
        except RuntimeError as error:
            raise NotExportable(f"{type(model).__name__} cannot be run as a graph. {error}") from error
        largest = float(expected.abs().nan_to_num().max()) if expected.numel() else 0.0
        if expected.shape != given.shape or not torch.allclose(
            expected, given, TOLERANCE, TOLERANCE * largest, equal_nan=True
        ):
            raise NotExportable(
                f"{type(model).__name__} computes something else {mode} than its graph says. What it does there may depend on "
                "its mode beyond dropout and normalisation, or on what it remembers from call to call."
            )


@torch.no_grad()
def _run(module: nn.Module, inputs: Tensor) -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        output: Tensor = module(inputs.clone())
    return output
