"""What is claimed of the remedies, in our own words and with where it comes from, and what the measurement says to it.

The rule: a claim holds where the remedy cured every training with that kind of fault, and is wrong where it did nothing to any, or
harm. In between it depends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tools.evidence.faults import Kind
from tools.evidence.measuring import Cell, Measured
from tools.evidence.remedies import REMEDIES

Standing = Literal["holds", "depends", "WRONG", "not tried"]


@dataclass(frozen=True)
class Claim:
    """That a remedy cures a kind of fault, and who says so."""

    remedy: str
    kind: Kind
    source: str


@dataclass(frozen=True)
class Judged:
    """A claim, the cells that speak to it, and how it stands."""

    claim: Claim
    cells: tuple[Cell, ...]
    standing: Standing

    def count(self, word: str) -> int:
        """Count the faults of which the measurement says so."""
        return sum(cell.word == word for cell in self.cells)


ARTICLES = "the articles that the project grew from"
IOFFE = "Ioffe & Szegedy 2015, arXiv 1502.03167"
PASCANU = "Pascanu et al. 2013, arXiv 1211.5063"
GLOROT = "Glorot & Bengio 2010"
RECTIFIER = "Glorot, Bordes & Bengio 2011"
KINGMA = "Kingma & Ba 2015, arXiv 1412.6980"
MOMENTUM = "Sutskever et al. 2013"
NOTES = "the notes of the course CS231n"
BENGIO = "Bengio 2012, arXiv 1206.5533"

CLAIMS: tuple[Claim, ...] = (
    *(Claim(remedy.id, "vanishing", ARTICLES) for remedy in REMEDIES),
    Claim("gradient clipping", "exploding", PASCANU),
    Claim("L1", "exploding", PASCANU),
    Claim("L2", "exploding", PASCANU),
    Claim("initialization", "exploding", f"{GLOROT}; He et al. 2015, arXiv 1502.01852"),
    Claim("batch normalisation", "exploding", IOFFE),
    Claim("lower learning rate", "dead units", NOTES),
    Claim("initialization", "dead units", "Lu et al. 2019, arXiv 1903.06733"),
    Claim("initialization", "saturation", GLOROT),
    Claim("ReLU", "saturation", RECTIFIER),
    Claim("batch normalisation", "saturation", IOFFE),
    Claim("lower learning rate", "rate too high", BENGIO),
    Claim("batch normalisation", "rate too high", IOFFE),
    Claim("Adam", "rate too high", KINGMA),
    Claim("Adam", "rate too low", KINGMA),
    Claim("SGD with momentum", "rate too low", MOMENTUM),
)
"""The articles' own, which are about vanishing gradients, and what the literature says of the other faults."""


def judge(claim: Claim, measured: Measured) -> Judged:
    """Hold a claim against what was measured."""
    cells = tuple(one for one in measured.cells if one.remedy == claim.remedy and one.fault.kind == claim.kind)
    return Judged(claim, cells, standing_of(cells))


def standing_of(cells: Sequence[Cell]) -> Standing:
    """Say how a claim of a cure stands, given the remedy on each fault of the kind."""
    if not cells:
        return "not tried"
    if all(cell.word == "cured" for cell in cells):
        return "holds"
    return "WRONG" if all(cell.word in {"nothing", "harms"} for cell in cells) else "depends"
