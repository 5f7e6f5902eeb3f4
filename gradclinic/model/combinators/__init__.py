"""The layers that hold layers: how each is counted, resolved and built."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gradclinic.model.combinators.combinator import Combinator
from gradclinic.model.combinators.dense import DENSE
from gradclinic.model.combinators.parallel import PARALLEL
from gradclinic.model.combinators.repeat import REPEAT
from gradclinic.model.combinators.residual import RESIDUAL
from gradclinic.model.combinators.sequential import SEQUENTIAL

COMBINATORS: Mapping[str, Combinator] = MappingProxyType(
    {"Sequential": SEQUENTIAL, "Repeat": REPEAT, "Residual": RESIDUAL, "Dense": DENSE, "Parallel": PARALLEL}
)
"""Every combinator by its type."""

__all__ = ["COMBINATORS", "Combinator"]
