"""`python -m worker`: one worker, which trains as many jobs at once as it has slots."""

from __future__ import annotations

import argparse
import os
import sys
import warnings

import structlog
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from celery.utils.sysinfo import cpu_budget  # type: ignore[attr-defined]  # newer than the stubs
from sqlalchemy.exc import OperationalError

from gradclinic.errors import GradclinicError
from store.schema import ensure_schema
from store.settings import Settings
from worker.app import make_app
from worker.logs import configure_logging
from worker.naming import worker_name
from worker.parent import end_with_parent

log = structlog.get_logger("worker")

THREAD_VARIABLES = (
    "GRADCLINIC_TORCH_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def main(arguments: list[str] | None = None) -> int:
    """Run a worker until it is told to stop; return its exit code."""
    settings = Settings()
    asked = _parser().parse_args(arguments)
    slots: int = asked.concurrency or max(1, cpu_budget().count // settings.torch_threads)
    # The children inherit this; torch and its libraries read it once, while they load.
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(settings.torch_threads)))
    configure_logging()
    if asked.watch_stdin:
        end_with_parent()
    for needless in (SecurityWarning, CPendingDeprecationWarning):  # of pickled messages, and of late acknowledgement
        warnings.filterwarnings("ignore", category=needless)
    app = make_app(settings)
    try:
        ensure_schema(app.store.engine)
    except (GradclinicError, OperationalError) as error:
        log.error("worker_not_started", reason=str(getattr(error, "orig", error)))  # noqa: TRY400 - words, no traceback
        return 1
    worker = app.Worker(
        concurrency=slots,
        hostname=f"gradclinic@{worker_name()}",
        pool="prefork",
        quiet=True,
        without_gossip=True,
        without_heartbeat=True,
        without_mingle=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument(
        "--concurrency", type=_slots, metavar="N", help="trainings at once; by default cores // threads"
    )
    parser.add_argument(
        "--watch-stdin", action="store_true", help="end once standard input does: with whoever holds it"
    )
    return parser


def _slots(text: str) -> int:
    slots = int(text)
    if slots < 1:
        raise argparse.ArgumentTypeError("at least one training at once is needed")
    return slots


if __name__ == "__main__":
    sys.exit(main())
