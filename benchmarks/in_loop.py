"""The seconds that a training spends inside a recorder: in its methods, and in the hooks that it put on the model.

A ratio of whole loops resolves no overhead below the noise of a machine; these seconds do. The timers stand here and not
in the library: while `watched()` is open, every hook that PyTorch is given is wrapped in one. What they cannot see is
what the recorder does to others' speed (evicted caches), which is why the ratio stands beside the share.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gradclinic.recorder import outputs

_REGISTRARS: tuple[tuple[type, str, str], ...] = (
    (nn.Module, "register_forward_pre_hook", "forward"),
    (nn.Module, "register_forward_hook", "forward"),
    (Tensor, "register_hook", "gradient"),
    (Tensor, "register_post_accumulate_grad_hook", "gradient"),
    (Optimizer, "register_step_pre_hook", "step"),
    (Optimizer, "register_step_post_hook", "step"),
)
"""Where PyTorch takes hooks, and which kind of call each makes."""

_NODE_HOOK_MAKER = "_on_node"
"""The recorder's own function that makes hooks on nodes of the graph: nobody can replace a node's method that takes one."""

_MODULE_HOOK = "_Hook"
"""The recorder's own class of hooks on modules, which come and go by another way than registering each time."""

KINDS = ("forward", "gradient", "node", "step")


class InLoop:
    """Adds up the seconds of whatever it wraps; calls inside others are not counted twice."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = dict.fromkeys(KINDS, 0)
        self._inside = False
        self._known: dict[Callable[..., Any], Callable[..., Any]] = {}

    def wrap(self, function: Callable[..., Any], kind: str = "step") -> Callable[..., Any]:
        """Return the function with a timer around it."""

        @functools.wraps(function)
        def timed(*args: Any, **options: Any) -> Any:
            self.calls[kind] += 1
            if self._inside:
                return function(*args, **options)
            self._inside = True
            began = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                self.seconds += time.perf_counter() - began
                self._inside = False

        return timed

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Wrap every hook that is registered in the block, by whomever."""
        with ExitStack() as undone:
            for owner, name, kind in _REGISTRARS:
                original = getattr(owner, name)
                undone.callback(setattr, owner, name, original)
                setattr(owner, name, self._registrar(original, kind))
            make_hook, module_hook = getattr(outputs, _NODE_HOOK_MAKER), getattr(outputs, _MODULE_HOOK)
            call = module_hook.__call__
            undone.callback(setattr, outputs, _NODE_HOOK_MAKER, make_hook)
            undone.callback(setattr, module_hook, "__call__", call)
            setattr(outputs, _NODE_HOOK_MAKER, lambda *args: self._wrapped(make_hook(*args), "node"))
            module_hook.__call__ = self.wrap(call, "forward")
            yield

    def _registrar(self, original: Callable[..., Any], kind: str) -> Callable[..., Any]:
        @functools.wraps(original)
        def register(owner: Any, hook: Callable[..., Any], *args: Any, **options: Any) -> Any:
            own = type(hook).__name__ == _MODULE_HOOK  # its class has a timer already
            return original(owner, hook if own else self._wrapped(hook, kind), *args, **options)

        return register

    def _wrapped(self, hook: Callable[..., Any], kind: str) -> Callable[..., Any]:
        """Return the hook with a timer around it: the same each time, so that making it costs no recorder anything."""
        if hook not in self._known:
            self._known[hook] = self.wrap(hook, kind)
        return self._known[hook]

    def with_dispatch(self, dispatch: dict[str, float]) -> float:
        """Return the seconds with what PyTorch takes to call that many hooks, which no timer inside a hook sees."""
        return self.seconds + sum(self.calls[kind] * seconds for kind, seconds in dispatch.items())


def measure_dispatch(hooks: int = 100, repeats: int = 200) -> dict[str, float]:
    """Measure what PyTorch itself takes to call a hook that does nothing, in seconds a call, by kind."""
    model = nn.Sequential(*(nn.Identity() for _ in range(hooks)))
    bare_forward = _median_seconds(lambda: model(None), repeats)
    for module in model:
        module.register_forward_hook(lambda *_: None)
    forward = _median_seconds(lambda: model(None), repeats)
    none, on_tensors, on_nodes = (_backward_seconds(hooks, repeats, where) for where in (None, "tensor", "node"))
    costs = {"forward": forward - bare_forward, "gradient": on_tensors - none, "node": on_nodes - none}
    return {kind: max(seconds, 0.0) / hooks for kind, seconds in costs.items()}


def _backward_seconds(length: int, repeats: int, where: str | None) -> float:
    """Time a backward pass through a chain of tensors with a hook on each, on its node, or none."""
    tensor = torch.zeros(1, requires_grad=True)
    for _ in range(length):
        tensor = tensor + 1
        if where == "tensor":
            tensor.register_hook(lambda _: None)  # type: ignore[no-untyped-call]  # PyTorch types it not
        elif where == "node":
            tensor.grad_fn.register_prehook(lambda _: None)  # type: ignore[union-attr]  # a sum has one
    return _median_seconds(lambda: torch.autograd.backward(tensor, retain_graph=True), repeats)


def _median_seconds(function: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return statistics.median(times)
