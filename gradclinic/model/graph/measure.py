"""Running a graph on PyTorch's `meta` device, which allocates nothing: shapes, FLOPs, and every fault that shapes decide.

No node's value, nor anything that an operator makes on its way, may be larger than the memory allowed: so a graph that
would fill the machine is refused before a byte is taken. Safe in threads: the mode that is entered belongs to the thread.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gradclinic.contract.limits import DEFAULT_LIMITS
from gradclinic.errors import Fault, InvalidSpec
from gradclinic.graph import ARTIFACT, RECURRENT, Graph, GraphNode
from gradclinic.model.graph.care import check_call, check_recurrent
from gradclinic.model.graph.program import DTYPES, Function, compile_graph
from gradclinic.model.graph.signature import Unsuitable
from gradclinic.model.measure import TORCH_ERRORS, words
from gradclinic.model.steps import CALLS

LARGEST_INTEGER = 2**62
"""Of sizes that nodes work out; multiplied again and again they would grow without end."""

STORED_DTYPES = {"F32": torch.float32, "I64": torch.int64, "BOOL": torch.bool}


@dataclass
class Taken:
    """What one node takes on a batch: FLOPs forward, numbers made and kept, operators called; `output` is its shape."""

    output: tuple[int, ...] = ()
    flops: int = 0
    held: int = 0
    calls: int = 0


@dataclass(frozen=True)
class Allowed:
    """What one run on `meta` may take: bytes of a single tensor, steps of a sequence, and the `time.monotonic` of its end."""

    memory: int
    sequence: int = DEFAULT_LIMITS.max_sequence
    deadline: float = field(default=math.inf)


class NodeRefused(Exception):
    """A node cannot be run; `detail` says why, with its name, `expected` what would be right."""

    def __init__(self, node: GraphNode, detail: str, expected: str = "arguments that fit each other") -> None:
        self.fault = Fault(ARTIFACT, f"Node {node.name!r} ({node.op}): {detail}.", expected)
        super().__init__(self.fault.detail)


class _TooLarge(Exception):
    """A tensor would be larger than is allowed."""


class _TooSlow(Exception):
    """It takes too long."""


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch left it without types
    """Looks at everything that operators make: counts it, and stops at what is too large or takes too long."""

    def __init__(self, allowed: Allowed) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.allowed = allowed
        self.taken = Taken()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if time.monotonic() > self.allowed.deadline:
            raise _TooSlow
        keywords = kwargs or {}
        value = func(*args, **keywords)
        made = [part for part in (value if isinstance(value, tuple | list) else (value,)) if isinstance(part, Tensor)]
        for part in made:
            if part.numel() * part.element_size() > self.allowed.memory:
                raise _TooLarge(f"it would make {list(part.shape)}")
        if not any(result.alias_info is not None for result in func._schema.returns):  # noqa: SLF001 - it has no public name
            self.taken.held += sum(part.numel() for part in made)
            self.taken.calls += 1
            formula = flop_registry.get(func.overloadpacket)
            numbers = [part.numel() for part in (*made, *args) if isinstance(part, Tensor)]
            self.taken.flops += formula(*args, **keywords, out_val=value) if formula else max(numbers, default=0)
        return value


def meta_tensors(graph: Graph) -> dict[str, Tensor]:
    """Return the tensors of a graph on the `meta` device, those of its parameters with a gradient."""
    told = graph.document.tensors
    return {
        name: torch.empty(
            stored.shape, dtype=STORED_DTYPES[stored.dtype], device="meta", requires_grad=told[name].trained
        )
        for name, stored in graph.tensors.items()
    }


def run_on_meta(
    graph: Graph, tensors: Mapping[str, Tensor], shape: tuple[int, ...], *, training: bool, allowed: Allowed
) -> tuple[Tensor, dict[str, Taken]]:
    """Run a graph on a batch of `shape` (N, ...) of the meta device; return its output and what each node takes.

    Raises:
        NodeRefused: A node's arguments do not fit, or it would make more than is allowed.
        InvalidSpec: It takes too long.
    """
    watch, nodes = _Watch(allowed), dict[str, Taken]()
    program = compile_graph(graph.document, lambda node, function: partial(_watched, node, function, watch, nodes))
    x = torch.empty(shape, dtype=DTYPES[graph.document.input.dtype], device="meta")
    with torch.enable_grad() if training else torch.no_grad():
        try:
            output = program.run([tensors[name] for name in program.names], x, training=training)
        except _TooSlow:
            detail = "Working out the shapes of the artifact took too long."
            raise InvalidSpec([Fault(ARTIFACT, detail, "a model of fewer operators")]) from None
    if not isinstance(output, Tensor) or output.dtype != torch.float32:
        raise InvalidSpec([Fault(ARTIFACT, "The artifact's output is no tensor of float32.", "a tensor of float32")])
    return output, nodes


def _watched(
    node: GraphNode, function: Function, watch: _Watch, nodes: dict[str, Taken], /, *args: Any, **kwargs: Any
) -> Any:
    """Call a node's function on meta tensors, and note down what it takes."""
    value: Any
    watch.taken = nodes[node.name] = Taken()
    try:
        check_call(node.op, function, args, kwargs)
        if node.op in RECURRENT:
            value = _recurrent(node.op, watch, *args, **kwargs)
        else:
            with watch:
                value = function(*args, **kwargs)
    except _TooLarge as error:
        most = f"at most {watch.allowed.memory:,} bytes"
        raise NodeRefused(node, f"{error}, more than is allowed", most) from None
    except Unsuitable as error:
        raise NodeRefused(node, f"it is given {error}") from None
    # The last two from code of PyTorch's in Python that meets a number where it expects a tensor.
    except (*TORCH_ERRORS, AttributeError, KeyError) as error:
        raise NodeRefused(node, f'it cannot be run. PyTorch says: "{words(error)}"') from error
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        raise NodeRefused(node, "it works out a size that nothing has", f"at most {LARGEST_INTEGER:,}")
    first = value[0] if isinstance(value, tuple | list) and value else value
    if isinstance(first, Tensor):
        watch.taken.output = tuple(first.shape)
        if first.dtype not in DTYPES.values():
            raise NodeRefused(node, f"it gives {first.dtype}", "float32, int64 or bool")
    return value


def _recurrent(op: str, watch: _Watch, /, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
    """Work out a recurrent operator by formula: `meta` would unroll its steps. See gradclinic.model.steps."""
    gates, hidden, out = check_recurrent(op, *args, **kwargs)
    bound = dict(zip(("x", "states", "weights", "has_biases", "num_layers"), args, strict=False)) | kwargs
    x, states, weights = bound["x"], bound["states"], bound["weights"]
    batch_first, bidirectional = args[8], args[7]
    rows, steps = (x.shape[0], x.shape[1]) if batch_first else (x.shape[1], x.shape[0])
    if steps > watch.allowed.sequence:
        raise Unsuitable(f"a sequence of {steps:,} steps, where the limit is {watch.allowed.sequence:,}")
    runs = (2 if bidirectional else 1) * bound["num_layers"]
    products = sum(weight.numel() for weight in weights if weight.dim() == 2)
    watch.taken.flops = 2 * rows * steps * products
    watch.taken.held = rows * steps * runs * (gates * hidden + hidden + out)
    watch.taken.calls = steps * runs * CALLS[{"lstm": "LSTM", "gru": "GRU"}.get(op.split(".")[1], "RNN")]
    if 4 * watch.taken.held > watch.allowed.memory:
        raise _TooLarge(f"it would hold {watch.taken.held:,} numbers")
    size = (2 if bidirectional else 1) * out
    made = x.new_empty((*x.shape[:2], size), requires_grad=torch.is_grad_enabled())
    ends = [torch.empty_like(state) for state in (states if isinstance(states, list) else [states])]
    return made, *ends
