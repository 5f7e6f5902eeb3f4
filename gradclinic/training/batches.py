"""The order in which a training sees its rows."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gradclinic.training.data import Part


def batches(part: Part, size: int, generator: torch.Generator, *, join_single: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches without end, each epoch in a new order; a last partial batch is kept.

    With `join_single` a last batch of one sample is joined to the one before it: a batch normalisation has no
    deviation to divide by there.
    """
    device = part.inputs.device
    while True:
        cuts = list(torch.split(torch.randperm(len(part), generator=generator).to(device), size))
        if join_single and len(cuts) > 1 and len(cuts[-1]) == 1:
            cuts[-2:] = [torch.cat(cuts[-2:])]
        for rows in cuts:
            yield part.inputs[rows], part.targets[rows]
