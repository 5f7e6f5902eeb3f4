"""Small changes of a case under which what is said of it must stay the same: width, depth, seed, batch size, learning rate.

A spec is changed as a whole (all hidden sizes by the same factor, every repetition alike), so that it stays the same kind of
model with the same fault. What a case does not have cannot be changed; that is said, and nothing is made up for it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gradclinic.contract.parse import parse_spec
from gradclinic.errors import InvalidSpec
from gradclinic.model import check_document

Document = dict[str, Any]

BY_A_FIFTH = 1.2
BY_THREE_TENTHS = 1.3

OTHER_SEED = 100
"""How far the other seed is from the given one: none of those that cases are evaluated on."""

SIZES = ("out_features", "out_channels", "hidden_size", "proj_size", "embedding_dim", "dim_feedforward")
"""Keywords that set how wide a layer is."""

FOLLOWING = (
    "in_features", "in_channels", "num_features", "num_channels", "normalized_shape", "input_size", "d_model", "embed_dim",
)  # fmt: skip
"""Keywords that only repeat what the layer before gives: left out, they follow from the new width."""

DIVISORS = ("nhead", "num_heads", "num_groups", "groups")
"""Keywords that have to divide the width."""

LONGEST_TURN = 4
"""Layers of the longest block that is looked for where blocks are written out one after the other."""

FEWEST_TURNS = 3
"""Turns that a fifth more or less of changes, rounded: of two it is none, and one more would be a half."""


@dataclass(frozen=True)
class Perturbation:
    """One changed spec; `document` is None where the change cannot be made, and `why` then says the reason."""

    kind: str
    document: Document | None
    why: str = ""


class NotApplicableError(Exception):
    """The spec has nothing that such a change could change."""


def perturbations_of(document: Mapping[str, Any]) -> Iterator[Perturbation]:
    """Yield every kind of change of a spec, in the order of `KINDS`; each spec is a valid one."""
    for kind, change in KINDS.items():
        changed = copy.deepcopy(dict(document))
        try:
            change(changed)
            check_document(changed)
        except NotApplicableError as reason:
            yield Perturbation(kind, None, str(reason))
        except InvalidSpec as refused:
            yield Perturbation(kind, None, f"the changed spec is refused: {refused.faults[0].detail}")
        else:
            yield Perturbation(kind, changed)


def change_width(document: Document, factor: float) -> None:
    """Multiply every hidden size, rounded so that heads and groups still divide it. Equal sizes stay equal."""
    layers = _layers_of(document)
    widths = [(layer, key) for layer in layers for key in SIZES if layer.get(key)]
    answers = widths[-1][0] if widths else None  # the last layer's size is the task's
    hidden = [(layer, key) for layer, key in widths if layer is not answers]
    if not hidden:
        raise NotApplicableError("it has no hidden layer")
    step = math.lcm(*(layer[key] for layer in layers for key in DIVISORS if layer.get(key)), 1)
    for layer, key in hidden:
        layer[key] = _scaled(layer[key], factor, step)
    for layer in layers:
        for key in FOLLOWING:
            if not isinstance(layer.get(key), list) or len(layer[key]) == 1:
                layer.pop(key, None)


def change_depth(document: Document, factor: float) -> None:
    """Multiply the turns of everything that is repeated: a `Repeat`, a `Dense`, or equal blocks one after the other."""
    layers = _layers_of(document)
    repeats = [layer for layer in layers if layer["type"] in {"Repeat", "Dense"} and layer["times"] >= FEWEST_TURNS]
    for layer in repeats:
        layer["times"] = round(layer["times"] * factor)
    written_out = False if repeats else _change_blocks(document["model"]["layers"], factor)
    if not (repeats or written_out):
        raise NotApplicableError(f"nothing in it is repeated {FEWEST_TURNS} times")


def change_seed(document: Document, by: int) -> None:
    """Draw initialization, order of batches and split of the data from another seed."""
    training = document.setdefault("training", {})
    training["seed"] = training.get("seed", 0) + by
    document["data"]["seed"] = document["data"].get("seed", 0) + by


def change_batch_size(document: Document, factor: float) -> None:
    """Multiply the batch size; a batch of one has no size within the factor."""
    before = parse_spec(document).training.batch_size
    after = round(before * factor)
    if after in (0, before):
        raise NotApplicableError(f"a batch of {before} has no size {factor:.2g} times as large")
    document.setdefault("training", {})["batch_size"] = after


def change_learning_rate(document: Document, factor: float) -> None:
    """Multiply the learning rate, and those that a schedule names itself."""
    lr = getattr(parse_spec(document).optimizer, "lr", 0.0)
    if not lr:
        raise NotApplicableError("its learning rate is 0")
    document["optimizer"]["lr"] = lr * factor
    scheduler = document.get("scheduler") or {}
    for part in (scheduler, *scheduler.get("schedulers", ())):
        for key in ("max_lr", "base_lr", "min_lr", "eta_min"):
            if key in part:
                part[key] *= factor


def _scaled(size: int, factor: float, step: int) -> int:
    """Return the nearest multiple of `step` that is another size, at least one step."""
    nearest = max(1, round(size * factor / step)) * step
    if nearest == size:
        nearest += step if factor > 1 else -step
    return max(step, nearest)


def _layers_of(document: Document) -> list[Document]:
    """Return every layer of the spec, those within others too, in the order of the forward pass."""
    if "layers" not in document["model"]:
        raise NotApplicableError("its model is a graph")
    return list(_walk(document["model"]["layers"]))


def _walk(layers: list[Document]) -> Iterator[Document]:
    for layer in layers:
        yield layer
        yield from _walk(layer.get("layers", []))
        for branch in layer.get("branches", []):
            yield from _walk(branch)
        if isinstance(layer.get("shortcut"), list):
            yield from _walk(layer["shortcut"])


def _change_blocks(layers: list[Document], factor: float) -> bool:
    """Add or drop turns of the longest run of equal blocks that stand one after the other; say whether there is one."""
    runs = [
        (turns * length, start, length, turns)
        for length in range(1, LONGEST_TURN + 1)
        for start in range(len(layers))
        if (turns := _turns(layers, start, length)) >= FEWEST_TURNS
    ]
    if not runs:
        return False
    _, start, length, turns = max(runs, key=lambda run: (run[0], -run[2]))
    block = layers[start : start + length]
    wanted = round(turns * factor)
    layers[start : start + turns * length] = [copy.deepcopy(layer) for _ in range(wanted) for layer in block]
    return True


def _turns(layers: list[Document], start: int, length: int) -> int:
    """Return how often the block at `start` stands there; named layers cannot be repeated."""
    block = layers[start : start + length]
    if any("name" in layer for layer in block):
        return 0
    turns = 0
    while len(block) == length and layers[start + turns * length :][:length] == block:
        turns += 1
    return turns


KINDS: Mapping[str, Callable[[Document], None]] = {
    "width x 1.2": lambda document: change_width(document, BY_A_FIFTH),
    "width / 1.2": lambda document: change_width(document, 1 / BY_A_FIFTH),
    "depth + 20 %": lambda document: change_depth(document, 1.2),
    "depth - 20 %": lambda document: change_depth(document, 0.8),
    "another seed": lambda document: change_seed(document, OTHER_SEED),
    "batch size x 1.3": lambda document: change_batch_size(document, BY_THREE_TENTHS),
    "batch size / 1.3": lambda document: change_batch_size(document, 1 / BY_THREE_TENTHS),
    "learning rate x 1.3": lambda document: change_learning_rate(document, BY_THREE_TENTHS),
    "learning rate / 1.3": lambda document: change_learning_rate(document, 1 / BY_THREE_TENTHS),
}
"""The kinds of change by name. No rule may care for any of them."""
