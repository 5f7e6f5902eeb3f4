"""From raw rows to the two parts that a training uses: shuffled, limited, split, and scaled by the training part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gradclinic.contract.data import AnyData
from gradclinic.contract.dataset import DataFacts, RawFacts, facts_of_rows
from gradclinic.files import Files, RawData, check_asked
from gradclinic.training.data.labels import as_vectors, get_wrong, leave_out
from gradclinic.training.data.load import load_rows
from gradclinic.training.data.scaling import scale_inputs, scale_targets


@dataclass(frozen=True)
class Part:
    """Rows to train on or to judge by.

    Inputs (rows, ...) are float32, or int64 where they are tokens. Targets are class indices (rows,) or (rows, steps)
    int64, values (rows, targets) or vectors (rows, classes) float32.
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device) -> Part:
        """Return the same rows on a device."""
        return Part(self.inputs.to(device), self.targets.to(device))


@dataclass(frozen=True)
class PreparedData:
    """Both parts, and the facts of the data. Without a validation part the training part is judged."""

    train: Part
    judged: Part
    facts: DataFacts

    def to(self, device: torch.device) -> PreparedData:
        """Return the same data on a device; a part that is judged and trained on is moved once."""
        train = self.train.to(device)
        judged = train if self.judged is self.train else self.judged.to(device)
        return PreparedData(train, judged, self.facts)


def prepare_data(data: AnyData, files: Files | None = None, *, as_tokens: bool = False) -> PreparedData:
    """Load a data set and make it ready.

    Samples are left out (`imbalance`) and labels got wrong (`label_noise`) first; what remains is shuffled with the
    data's seed, limited, split (validation first), and scaled. With `as_tokens` whole numbers in the inputs stay what they are.

    Raises:
        InvalidSpec: A file is missing, cannot be read or holds something else, or cannot give what was asked of it.
    """
    raw = load_rows(data, files)
    known = data.raw_facts() or check_asked(data, raw.facts())
    raw = get_wrong(leave_out(raw, data.imbalance, data.seed), data.label_noise, data.seed)
    facts = _facts_after(data, known, raw)
    order = np.random.default_rng(data.seed).permutation(len(raw.inputs))[: facts.validation + facts.train]
    held_out, kept = order[: facts.validation], order[facts.validation :]
    is_tokens = as_tokens and raw.integers
    inputs = raw.inputs.astype(np.int64) if is_tokens else scale_inputs(raw, kept, data.normalize)
    targets = scale_targets(raw.targets, kept) if data.normalize_target else raw.targets
    if data.one_hot and raw.classes is not None:
        targets = as_vectors(targets, raw.classes)
    kind = torch.int64 if is_tokens else torch.float32
    train = _part(inputs[kept], targets[kept], kind)
    return PreparedData(train, _part(inputs[held_out], targets[held_out], kind) if len(held_out) else train, facts)


def _facts_after(data: AnyData, known: RawFacts, raw: RawData) -> DataFacts:
    """Return the facts with the sizes that are left after samples were left out."""
    return facts_of_rows(data, replace(known, rows=len(raw.inputs)))


def _part(inputs: npt.NDArray[Any], targets: npt.NDArray[Any], kind: torch.dtype) -> Part:
    targets_kind = torch.int64 if np.issubdtype(targets.dtype, np.integer) else torch.float32
    return Part(torch.as_tensor(inputs).to(kind), torch.as_tensor(targets).to(targets_kind))
