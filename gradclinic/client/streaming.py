"""Sending a history while its training runs: a sink for `Recorder` that the training never waits for.

Parts are packed as they come, wait in a spool, and go out from a thread of their own. A service that is slow, gone or
restarted delays nothing but the sending; at the end it is waited for within bounds, and what is left is kept in a file.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from tempfile import gettempdir
from types import TracebackType
from typing import Any, Literal, Self

from gradclinic.client.connection import Connection, path_of, read_as
from gradclinic.client.spool import Spool
from gradclinic.client.unsent import SUFFIX, Unsent, save_unsent
from gradclinic.client.upload import begin_document, begin_run, facts_document, finish_run, parts_of, send_chunk
from gradclinic.contract.job import Run
from gradclinic.errors import GradclinicError, InvalidSpec, RequestFailed, ServiceUnreachable
from gradclinic.history import History
from gradclinic.history.packed import pack_part

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 15.0
"""Seconds before a request is sent again, doubled each time; while the end waits, never more than `LAST_PAUSE`."""

LAST_PAUSE = 0.5

FINISH_SECONDS = 60.0
"""How long the end of a training waits for the rest to go out and to be judged."""

MAX_WORDS = 5_000
"""Characters of an error's message that are sent."""

logger = logging.getLogger("gradclinic")


class Stream:
    """A run at a service that is filled while it trains; made by `Client.stream`.

    Calling it takes a part of a history, in order: it is a `sink` for `Recorder`. It never raises and never waits for the
    service. `finish` ends the run; as a context manager it does so by itself, as failed where an exception passes through.
    """

    def __init__(  # noqa: PLR0913 - the choices of `Client.stream`, each by its keyword
        self,
        connection: Connection,
        *,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        thresholds: Mapping[str, float] | None = None,
        run_id: str | None = None,
        finish_seconds: float = FINISH_SECONDS,
        folder: Path | str | None = None,
    ) -> None:
        self.run: Run | None = None
        """The run as the service showed it last; None until it did."""
        self.unsent: str | None = None
        """After the end: what was not sent, why, and where it is kept; None where all was sent."""
        self._connection = connection
        self._run_id = run_id
        self._begin = begin_document(name, labels, thresholds)
        self._key = str(uuid.uuid4())
        self._finish_seconds = finish_seconds
        self._folder = Path.cwd() if folder is None else Path(folder)
        self._spool = Spool()
        self._facts: dict[str, Any] | None = None
        self._next_step = 0
        self._first = 0  # number of the first chunk: a run that is gone on with has some
        self._lost = 0
        self._end: dict[str, Any] | None = None
        self._trouble: str | None = None
        self._done = False
        self._changed = threading.Condition()
        self._hurry = threading.Event()
        self._given_up = threading.Event()
        # A daemon: a training that ends without a word ends, and leaves its run as it is.
        self._thread = threading.Thread(target=self._work, name="gradclinic-stream", daemon=True)
        self._thread.start()

    @property
    def run_id(self) -> str | None:
        """The run's id: pass it to `Client.stream` to go on with it from another process. None until it has begun."""
        return self._run_id

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish("succeeded" if error is None else "failed", error=error)

    def __call__(self, part: History) -> None:
        """Take a part of the history. Whatever is wrong with it or with its sending shows at the end, in `unsent`."""
        try:
            self._take(part)
        except Exception as error:  # noqa: BLE001 - nothing here is worth ending a training for
            self._lost += 1
            self._trouble = f"{type(error).__name__}: {error}"

    def finish(
        self, status: Literal["succeeded", "failed"] = "succeeded", *, error: BaseException | None = None
    ) -> Run | None:
        """End the run and return it, judged; None where that was not done in time, and then `unsent` tells the rest.

        Never raises. Called again, it changes nothing.
        """
        if self._end is None:
            with self._changed:
                self._end = self._end_document(status, error)
                self._changed.notify()
            self._hurry.set()
            self._thread.join(self._finish_seconds)
            self._given_up.set()
            if not self._done or self._lost:
                self._keep_unsent()
            self._spool.close()  # a thread that still waits for an answer finds nothing more to do
        return self.run if self._done else None

    def _take(self, part: History) -> None:
        facts = facts_document(part.facts)
        changed = facts != self._facts
        self._facts = facts
        for piece in parts_of(part):
            self._spool.put(pack_part(piece, facts if changed else None))
            changed = False
        if part.last_step is not None:
            self._next_step = part.last_step + 1
        with self._changed:
            self._changed.notify()

    def _end_document(self, status: str, error: BaseException | None) -> dict[str, Any]:
        document: dict[str, Any] = {"status": status}
        if self._facts is not None:
            document["facts"] = self._facts
        if isinstance(error, Exception):  # the others, such as Ctrl-C, say nothing of the training
            words = str(error).encode("utf-8", "replace").decode().replace("\0", " ")[:MAX_WORDS]
            document["error"] = {"step": self._next_step, "type": type(error).__name__[:200], "message": words}
        return document

    def _work(self) -> None:
        """Send, and send again, until all is done, nothing can be done, or it was given up."""
        pause = FIRST_PAUSE
        while not (self._done or self._given_up.is_set()):
            try:
                self._send_next()
                pause = FIRST_PAUSE
                if not self._lost:
                    self._trouble = None
            except ServiceUnreachable as error:
                if not _may_pass(error):
                    self._trouble = str(error)
                    return
                if self._trouble is None:
                    logger.warning("The history waits, and the training goes on: %s", error)
                self._trouble = str(error)
                self._wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            except InvalidSpec as error:
                self._trouble = f"The service refused a part of the history: {error}"
                return
            except Exception as error:  # noqa: BLE001 - likewise; told at the end
                self._trouble = f"{type(error).__name__}: {error}"
                return

    def _send_next(self) -> None:
        """Do the next thing that there is to do, or wait for one."""
        if self.run is None:
            self._begin_or_resume()
        elif (body := self._spool.first()) is not None:
            self.run = send_chunk(self._connection, self.run.id, self._first + self._spool.dropped, body, 0.0)
            self._spool.drop_first()
        elif self._end is not None:
            self.run = finish_run(self._connection, self.run.id, self._end, 0.0)
            self._done = True
        else:
            with self._changed:
                self._changed.wait_for(lambda: len(self._spool) or self._end is not None)

    def _begin_or_resume(self) -> None:
        if self._run_id is None:
            self.run = begin_run(self._connection, self._begin, self._key, 0.0)
            self._run_id = self.run.id
        else:
            self.run = read_as(Run, self._connection.send("GET", path_of("runs", self._run_id), patience=0.0))
            if self.run.chunks is None or self.run.status != "training":
                raise GradclinicError(
                    f"Run {self._run_id} is {self.run.kind} and {self.run.status}: it takes no history."
                )
            self._first = self.run.chunks

    def _wait(self, pause: float) -> None:
        if self._hurry.is_set():
            time.sleep(min(pause, LAST_PAUSE))
        else:
            self._hurry.wait(pause)

    def _keep_unsent(self) -> None:
        """Write what is left to a file, and say so. Where the last answer was only lost, sending it again does no harm."""
        why = self._trouble or f"the service had not answered after {self._finish_seconds:g} seconds"
        left = f"{len(self._spool):,} chunks of the history of run {self._run_id or '(not begun)'} were not sent: {why}"
        if self._lost:
            left += f" {self._lost:,} parts are lost."
        kept = None if self._done else self._save()
        where = "" if kept is None else f" They are kept in {kept}; send them with: gradclinic upload {kept}"
        self.unsent = left + where
        logger.warning("%s", self.unsent)

    def _save(self) -> Path | None:
        for folder in (self._folder, Path(gettempdir())):
            # The number and the bodies in one look: an answer that was waited for may still come, and a body go.
            dropped, bodies = self._spool.keep()
            unsent = Unsent(self._run_id, self._begin, self._key, self._first + dropped, self._end or {}, bodies)
            path = folder / f"{self._run_id or self._key}{SUFFIX}"
            try:
                save_unsent(unsent, path)
            except OSError as error:
                logger.warning("%s cannot be written: %s", path, error)
            else:
                return path
        return None


def _may_pass(error: ServiceUnreachable) -> bool:
    """Tell whether the same request may go well later: a service that is gone or busy, not one that refuses."""
    return not isinstance(error, RequestFailed) or error.status >= 500 or error.status in {408, 429}
