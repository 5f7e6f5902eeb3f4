"""`python -m service`: the API alone, or with `--with-worker` the whole system in one command."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import structlog
import uvicorn

from gradclinic.errors import GradclinicError
from service.app import create_app
from service.guard import is_loopback
from service.logs import configure_log
from service.worker_process import WorkerProcess
from store.engine import make_engine
from store.schema import ensure_schema
from store.settings import Settings
from store.trouble import DATABASE_TROUBLE

logger = structlog.get_logger(__name__)

WRONG_CALL, FAILED = 2, 3
"""Exit codes, the same as the command line's: the call is wrong; the service could not do it."""

GRACE_SECONDS = 5
"""How long requests in flight may take once the service is told to stop."""


class Server(uvicorn.Server):
    """Uvicorn, which lets whoever waits for a job answer at once when it is told to stop."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, and say where."""
        await super().startup(sockets)
        for server in self.servers if self.started else ():
            host, port = server.sockets[0].getsockname()[:2]
            logger.info("listening", url=f"http://{f'[{host}]' if ':' in host else host}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on a signal."""
        self.stop()
        super().handle_exit(sig, frame)

    def stop(self) -> None:
        """Take no more requests, and end those that wait."""
        self.config.app.state.stopping.set()  # type: ignore[union-attr]  # it is always the application below
        self.should_exit = True


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal comes; return the exit code."""
    asked = _parser().parse_args(arguments)
    settings = Settings()
    if not is_loopback(asked.host) and not settings.api_keys:
        return _refuse(
            f"{asked.host} can be reached from other machines, and no API keys are set. Set GRADCLINIC_API_KEYS to one "
            "or more keys, separated by commas, or listen on 127.0.0.1.",
            WRONG_CALL,
        )
    configure_log()
    signal.signal(signal.SIGTERM, _leave)
    app = create_app(settings)
    server = Server(
        uvicorn.Config(
            app,
            host=asked.host,
            port=asked.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    worker = WorkerProcess(on_loss=server.stop) if asked.with_worker else None
    try:
        _prepare_database(settings)
        return _serve(server, worker)
    except GradclinicError as error:
        return _refuse(str(error), FAILED)
    except DATABASE_TROUBLE as error:
        return _refuse(f"The database does not answer: {getattr(error, 'orig', error)}", FAILED)


def _prepare_database(settings: Settings) -> None:
    """Do before anything starts what could keep it from starting, so that it is said in words."""
    engine = make_engine(settings.database)
    try:
        ensure_schema(engine)
    finally:
        engine.dispose()


def _serve(server: Server, worker: WorkerProcess | None) -> int:
    try:
        if worker is not None:
            worker.start()
        server.run()
    except KeyboardInterrupt:
        logger.info("stopped")
    except SystemExit:  # uvicorn's way to say that it cannot listen; its reason is in the log
        return FAILED
    finally:
        if worker is not None:
            worker.stop()
    if worker is not None and worker.lost:
        return _refuse("The worker died again and again; what it said stands above.", FAILED)
    return 0 if server.started else FAILED


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Leave through every `finally`, where SIGTERM's default would end the process on the spot."""
    raise KeyboardInterrupt


def _refuse(reason: str, code: int) -> int:
    sys.stderr.write(f"error: {reason}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m service", description="Serve the gradclinic API.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default 8000)")
    parser.add_argument("--with-worker", action="store_true", help="start a worker beside it, and stop it at the end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
