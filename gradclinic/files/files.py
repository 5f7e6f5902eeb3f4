"""Where the files of data sets and models are found: under the data root, and among the uploads. Reads none of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path

from gradclinic.contract.dataset import RawFacts
from gradclinic.contract.file_data import Arrays, Table
from gradclinic.contract.limits import DEFAULT_LIMITS
from gradclinic.errors import Fault, InvalidSpec, NotFound
from gradclinic.files.source import Source, refusal

REMEMBERED = 256
"""Files whose facts are kept: a handful of numbers each, and reading a large file again takes seconds."""

BYTES_A_NUMBER = 32
"""Bytes of a file for each number that a data set may have: a double of seventeen digits in CSV takes about 24."""


class Files:
    """Finds the files that a data set or a model names, and remembers what was in them while they do not change.

    Args:
        root: The data root; without it `path` data are refused.
        dataset: Returns the file of an uploaded data set, or raises `NotFound`; without it `dataset` data are refused.
        max_numbers: Numbers that the inputs of one data set may have.
        artifact_path: Returns the file of an uploaded artifact, or raises `NotFound`; without it graph models are refused.
    """

    def __init__(
        self,
        root: Path | None = None,
        dataset: Callable[[str], Path] | None = None,
        *,
        max_numbers: int = DEFAULT_LIMITS.max_data,
        artifact_path: Callable[[str], Path] | None = None,
    ) -> None:
        self._root = root
        self._dataset = dataset
        self._artifact_path = artifact_path
        self.max_numbers = max_numbers
        self._known: OrderedDict[Hashable, RawFacts | InvalidSpec] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, path: str, key: str = "path") -> Source:
        """Find a file or folder under the data root, by the path posted as `key` of the data.

        Raises:
            InvalidSpec: There is none, it lies outside, or no data root is set.
        """
        name = repr(path if len(path) <= 100 else f"...{path[-97:]}")
        if self._root is None:
            message = "There is no data root here, under which files could be read."
            raise refusal(key, message, "GRADCLINIC_DATA_ROOT set to a folder, or an uploaded data set")
        try:
            root = self._root.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            message = "The data root (GRADCLINIC_DATA_ROOT) is not there."
            raise refusal(key, message, "a folder that service and worker can read") from error
        try:
            found = (root / path).resolve(strict=True)
        except PermissionError as error:
            raise refusal(key, f"{name} cannot be read: {error.strerror}.", "a file that can be read") from error
        except (OSError, RuntimeError, ValueError) as error:  # missing, a link to itself, a name that is none
            raise refusal(key, f"There is no {name} under the data root.", "a path under the data root") from error
        if not found.is_relative_to(root):
            raise refusal(key, f"{name} leads out of the data root.", "a path under the data root, links followed")
        return Source(found, key, name, self._max_bytes)

    def find_for(self, data: Table | Arrays) -> Source:
        """Find the one file of a data set that names it by `path` or by `dataset`.

        Raises:
            InvalidSpec: There is none.
        """
        if data.path is not None:
            return self.find(data.path)
        key, wanted = "dataset", str(data.dataset)
        if self._dataset is None:
            raise refusal(key, "Uploaded data sets are known to a service alone, not here.", "a path")
        try:
            found = self._dataset(wanted)
        except NotFound as error:
            message = f"There is no uploaded data set {wanted!r}. It may have been deleted."
            raise refusal(key, message, "the id that `POST /v1/datasets` gave") from error
        return Source(found, key, "The uploaded data set", self._max_bytes)

    def artifact(self, id: str) -> Path:
        """Find the file of the artifact that a model names.

        Raises:
            InvalidSpec: There is none.
        """
        if self._artifact_path is None:
            raise InvalidSpec([Fault("/model/artifact", "Artifacts cannot be found here.", "a model of layers")])
        try:
            return self._artifact_path(id)
        except NotFound as error:
            message = f"There is no artifact {id!r}. It may have been deleted."
            expected = "the id that `POST /v1/artifacts` gave"
            raise InvalidSpec([Fault("/model/artifact", message, expected)]) from error

    def remembered(self, key: Hashable, look: Callable[[], RawFacts]) -> RawFacts:
        """Return the facts that are kept under this key, or look and keep them; those not asked for the longest go.

        One looks at a time: requests that come together would each read the same file, and hold all of it.

        Raises:
            InvalidSpec: Looking did; what is wrong with a file is kept as well.
        """
        with self._lock:
            if key not in self._known:
                self._known[key] = _looked(look)
            self._known.move_to_end(key)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            known = self._known[key]
        if isinstance(known, InvalidSpec):
            raise InvalidSpec(known.faults)  # anew, for one that is raised again grows by each place it was raised at
        return known

    @property
    def _max_bytes(self) -> int:
        return BYTES_A_NUMBER * self.max_numbers


def _looked(look: Callable[[], RawFacts]) -> RawFacts | InvalidSpec:
    try:
        return look()
    except InvalidSpec as refused:
        return InvalidSpec(refused.faults)
