"""Uploads as files of this host: copied out of the database at their first use, and shared by all processes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import structlog

from gradclinic.contract.uploaded import Upload
from gradclinic.files import Files
from store.settings import Settings
from store.transactions import Store
from store.uploads import ARTIFACTS, DATASETS, Uploads

logger = structlog.get_logger(__name__)

CACHE_BYTES = 8 * 1024**3
"""Copies that are kept of each sort; beyond, those go that were not used for the longest."""

UNTOUCHED_SECONDS = 3600.0
"""A copy used more recently stays in any case: a training may be just about to open it."""


class UploadFiles:
    """The copies in one folder, each named by the checksum of its content, so that it never has to be renewed."""

    def __init__(self, store: Store, uploads: Uploads[Any], folder: Path) -> None:
        self._store = store
        self._uploads = uploads
        self._folder = folder

    def path_of(self, upload_id: str) -> Path:
        """Return the file of an upload, copied here if it is not there yet.

        Raises:
            NotFound: There is none with that id.
            OSError: It cannot be written here.
        """
        with self._store.reading() as reader:
            found: Upload = self._uploads.find(reader, upload_id)
            path = self._folder / found.sha256
            try:
                os.utime(path)
            except FileNotFoundError:
                self._make_room(found.size)
                _write(path, self._uploads.chunks_of(reader, upload_id), found.sha256)
                logger.info("upload_copied", sort=self._uploads.sort, id=upload_id, size=found.size)
        return path

    def _make_room(self, size: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        copies = sorted(_copies_in(self._folder))
        too_much = sum(held for _, held, _ in copies) + size - CACHE_BYTES
        for used_at, held, path in copies:
            if too_much <= 0 or used_at > time.time() - UNTOUCHED_SECONDS:
                return
            path.unlink(missing_ok=True)
            too_much -= held


def make_files(store: Store, settings: Settings) -> Files:
    """Make what finds files, for a service or a worker: those under the data root, and the uploaded ones."""
    cache = settings.data_dir.resolve() / "cache"
    datasets = UploadFiles(store, DATASETS, cache / "datasets")
    artifacts = UploadFiles(store, ARTIFACTS, cache / "artifacts")
    return Files(
        settings.data_root,
        datasets.path_of,
        max_numbers=settings.limits.max_data,
        artifact_path=artifacts.path_of,
    )


def _copies_in(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Yield when each copy was last used, its bytes, and where it is."""
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process makes room too
            state = path.stat()
            yield state.st_mtime, state.st_size, path


def _write(path: Path, chunks: Iterable[bytes], sha256: str) -> None:
    """Write a copy under another name first: whoever sees it under its own sees it whole."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".unfinished-", delete=False) as file:
        try:
            _copy(chunks, file, sha256)
        except BaseException:
            Path(file.name).unlink()
            raise
    Path(file.name).replace(path)


def _copy(chunks: Iterable[bytes], file: IO[bytes], sha256: str) -> None:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        file.write(chunk)
    if digest.hexdigest() != sha256:
        raise RuntimeError(f"What the database holds of the upload with the checksum {sha256} is not that.")
