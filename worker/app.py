"""The Celery app: its configuration, its task list, and how it reaches a spawned child. It decides nothing about jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any

from celery import Celery

from gradclinic.files import Files
from store.bell import QUEUE, TASK_TRAIN, Bell, broker_options
from store.engine import make_engine
from store.settings import Settings
from store.transactions import Store
from store.upload_files import make_files
from worker.base_task import RunTask
from worker.memory import Transport
from worker.pool_child import ChildLoader
from worker.steps import DispatcherStep
from worker.tasks import train_run

CHILD_START_SECONDS = 120.0
"""How long a pool child may take to import torch and warm up before Celery takes it for dead; 4 s is its default."""


class WorkerApp(Celery):
    """A Celery app that carries the settings it was made from.

    A spawned child is a fresh interpreter that gets the app by pickle. It is made anew there from the very settings of
    the main process, so that the environment cannot tell the two different things.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__("gradclinic", loader=ChildLoader, set_as_current=False)
        self.settings = settings
        self.stopping = threading.Event()
        """Set in a pool child when its worker shuts down: jobs in hand go back to the queue."""
        self.on_stall: Callable[[], None] = lambda: None
        """Set in a pool child: called where a training hangs, whose process nothing but its end makes free again."""

    @cached_property
    def store(self) -> Store:
        """The database, opened in the process that first asks for it."""
        return Store(make_engine(self.settings.database))

    @cached_property
    def bell(self) -> Bell:
        """What tells other workers that trials wait; silent without a broker."""
        return Bell(self.settings.broker_url, self.settings.broker_prefix)

    @cached_property
    def files(self) -> Files:
        """Where the files that jobs are trained on are found."""
        return make_files(self.store, self.settings)

    def __reduce__(self) -> tuple[Any, ...]:
        return make_app, (self.settings,)


def make_app(settings: Settings) -> WorkerApp:
    """Make the app of one process: main process and pool children each have their own."""
    app = WorkerApp(settings)
    app.conf.update(
        accept_content=["json"],
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
        event_serializer="json",
        result_serializer="json",
        task_acks_late=False,  # the row recovers a lost job within a lease; a broker's redelivery would only repeat it
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_serializer="json",
        # The last net, under a child that is too far gone to notice its own deadline or a step that never returns.
        task_time_limit=settings.max_training_seconds + settings.stalled_seconds,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # the job goes on: it needs the database alone
        worker_enable_remote_control=False,  # cancelling is a flag in the job's row
        worker_hijack_root_logger=False,
        worker_lost_wait=1.0,
        worker_pool_start_method="spawn",  # torch hangs in a child that was forked after it computed
        worker_prefetch_multiplier=1,
        worker_proc_alive_timeout=CHILD_START_SECONDS,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
    )
    if settings.broker_url:
        app.conf.update(
            broker_url=settings.broker_url,
            broker_transport_options=broker_options(settings.broker_prefix),
            worker_disable_prefetch=True,  # a message reserved by a busy worker would wait while another is idle
        )
    else:
        app.conf.update(
            broker_url="memory://localhost//", broker_transport=f"{Transport.__module__}:{Transport.__name__}"
        )
    app.task(name=TASK_TRAIN, base=RunTask, lazy=False, shared=False)(train_run)
    app.steps["worker"].add(DispatcherStep)
    return app
