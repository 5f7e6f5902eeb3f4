"""The app: what it accepts, and that a spawned child gets the very same one."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

from store.bell import QUEUE, TASK_TRAIN
from store.settings import Settings
from worker.app import WorkerApp, make_app

ROOT = Path(__file__).parents[2]


def test_it_speaks_json_alone_and_keeps_no_results(settings: Settings):
    conf = make_app(settings).conf
    assert conf.accept_content == ["json"]
    assert conf.task_serializer == conf.result_serializer == "json"
    assert conf.task_ignore_result
    assert not conf.task_acks_late


def test_children_are_spawned(settings: Settings):
    assert make_app(settings).conf.worker_pool_start_method == "spawn"


def test_the_embedded_app_has_its_broker_in_memory(settings: Settings):
    app = make_app(settings)
    assert app.conf.broker_url.startswith("memory://")
    assert app.conf.task_default_queue == QUEUE


def test_the_broker_of_the_settings_is_used_with_its_prefix(settings: Settings):
    redis = settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0", "broker_prefix": "mine:"})
    app = make_app(redis)
    assert app.conf.broker_url == "redis://127.0.0.1:1/0"
    assert app.conf.broker_transport_options["global_keyprefix"] == "mine:"


def test_a_pickled_app_has_the_settings_and_tasks_of_the_first(settings: Settings):
    copy = pickle.loads(pickle.dumps(make_app(settings)))  # noqa: S301 - what billiard does
    assert isinstance(copy, WorkerApp)
    assert copy.settings == settings
    assert TASK_TRAIN in copy.tasks


def test_the_main_process_loads_no_torch():
    code = (
        "import sys; from store.settings import Settings; from worker.app import make_app; make_app(Settings());"
        "import worker.__main__; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
