"""One file or folder of a data set: where it is, under which key it was posted, and how a refusal names it."""

from __future__ import annotations

import difflib
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gradclinic.errors import Fault, InvalidSpec

Stamp = tuple[str, int, int]
"""Path, size and time of the last change: while they stay, so does what was read."""

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # in memory, which is no one's business and different each time


@dataclass(frozen=True)
class Source:
    """A file or folder that was found. `name` is what the user called it: nobody is told where it really is."""

    path: Path
    key: str
    name: str
    max_bytes: int

    def refusal(self, words: str, expected: str | None = None, *, key: str | None = None) -> InvalidSpec:
        """Make the error that says what is wrong with it; `words` go on from its name."""
        return refusal(key or self.key, f"{self.name} {words}", expected)

    def stamp(self) -> Stamp:
        """Say which state of the file this is.

        Raises:
            InvalidSpec: It cannot be looked at.
        """
        with self.readable():
            found = self.path.stat()
        return str(self.path), found.st_size, found.st_mtime_ns

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the file for reading, if it is one and not too large.

        Raises:
            InvalidSpec: It is not a file, too large, empty, or cannot be read.
        """
        with self.readable():
            found = self.path.stat()
            if not stat.S_ISREG(found.st_mode):  # a pipe would never end, and a device may be anything
                raise self.refusal("is not a file.", "a file")
            if found.st_size > self.max_bytes:
                raise self.refusal(f"has {found.st_size:,} bytes; the limit here is {self.max_bytes:,}.")
            if found.st_size == 0:
                raise self.refusal("is empty.", "a file with data")
            with self.path.open("rb") as file:
                yield file

    @contextmanager
    def readable(self) -> Iterator[None]:
        """Say in words what the system refuses inside.

        Raises:
            InvalidSpec: The system could not read it.
        """
        try:
            yield
        except OSError as error:
            raise self.refusal(f"cannot be read: {error.strerror or type(error).__name__}.") from error

    @contextmanager
    def decoded(self, expected: str, *, key: str | None = None) -> Iterator[None]:
        """Say in words whatever a decoder raises inside about bytes that may be anything at all.

        Raises:
            InvalidSpec: The decoder gave up.
        """
        try:
            yield
        except InvalidSpec:
            raise
        except Exception as error:
            reason = _ADDRESS.sub("", str(error).split("\n", maxsplit=1)[0])[:120].rstrip(". ")
            if str(self.path) in str(error):  # where the data root lies is nobody's business
                reason = "it cannot be told what it is"
            reason = reason or type(error).__name__
            raise self.refusal(f"is damaged, or cut off: {reason}.", expected, key=key) from error


def refusal(key: str, detail: str, expected: str | None = None) -> InvalidSpec:
    """Make the error about one key of the data."""
    return InvalidSpec([Fault(f"/data/{key}", detail, expected)])


def near(name: str, known: Iterable[str]) -> str:
    """Return a hint at the name that was probably meant, or nothing."""
    names = list(known)[:1000]
    found = [one for one in names if one.lower() == name.lower()] or difflib.get_close_matches(name, names, n=1)
    return f" Did you mean {found[0]!r}?" if found else ""


def shown(text: str) -> str:
    """Write a text of someone else's file into a sentence: quoted, its control characters too, and never long."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
