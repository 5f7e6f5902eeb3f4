"""What came of writing numbers somewhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Written:
    """So many numbers, the seconds they took, and the bytes they take on the disk."""

    numbers: int
    seconds: float
    size: int

    @property
    def million_a_second(self) -> float:
        """Millions of numbers written a second."""
        return self.numbers / self.seconds / 1e6

    @property
    def bytes_a_number(self) -> float:
        """Bytes on the disk for one number."""
        return self.size / self.numbers
