"""`python -m service` as a process: where it listens, how it ends, and the worker beside it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from service.__main__ import main
from service.worker_process import MAX_DEATHS, WorkerProcess
from tests.service.hands import SPEC

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the service as a stranger would, and kill what a failed test leaves."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GRADCLINIC_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "--port", "0", *arguments],
            env=kept | {"GRADCLINIC_DATA_DIR": str(tmp_path)} | environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if '"listening"' in line:
            return str(json.loads(line)["url"])
    raise AssertionError("it never listened")


def wait_until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])  # noqa: S104 - refused, that is the point
def test_it_does_not_listen_to_others_without_keys(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("GRADCLINIC_API_KEYS", raising=False)
    assert main(["--host", host]) == 2
    assert "GRADCLINIC_API_KEYS" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_on_a_signal_and_lets_those_who_wait_go(start: Start, end: signal.Signals):
    process = start()
    url = address_of(process)
    job = httpx2.post(f"{url}/v1/jobs", json=SPEC).json()
    waiting = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import httpx2; print(httpx2.get('{url}/v1/jobs/{job['id']}?wait=60', timeout=60).status_code)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(1.5)
    process.send_signal(end)
    assert process.wait(10) == 0
    assert waiting.communicate(timeout=10)[0].strip() == "200"


@pytest.mark.slow
def test_a_caller_that_goes_away_is_not_waited_for(start: Start):
    process = start()
    url = httpx2.URL(address_of(process))
    job = httpx2.post(f"{url}/v1/jobs", json=SPEC).json()
    with socket.create_connection((url.host, url.port or 0)) as caller:
        caller.sendall(f"GET /v1/jobs/{job['id']}?wait=60 HTTP/1.1\r\nHost: {url.host}\r\n\r\n".encode())
        time.sleep(0.5)
    assert process.stderr is not None
    lines = (json.loads(line) for line in process.stderr)
    (waited,) = itertools.islice((line for line in lines if line["event"] == "request" and line["method"] == "GET"), 1)
    assert 0.3 < waited["seconds"] < 30


@pytest.mark.slow
def test_a_port_that_is_taken_ends_it(start: Start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("--port", str(taken.getsockname()[1]))
        _, said = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "address already in use" in said


@pytest.mark.slow
def test_with_a_worker_it_is_the_whole_system_and_leaves_nothing_behind(start: Start):
    process = start("--with-worker")
    url = address_of(process)
    answer = httpx2.post(f"{url}/v1/jobs", json=SPEC, headers={"Prefer": "wait=50"}, timeout=60)
    assert (answer.status_code, answer.json()["status"]) == (202, "succeeded")
    assert httpx2.get(f"{url}{answer.json()['links']['diagnosis']}").status_code == 200
    children = children_of(process.pid)
    assert children
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    wait_until(lambda: not any(is_alive(child) for child in children))


@pytest.mark.slow
def test_its_worker_ends_with_it_also_when_it_is_killed(start: Start):
    process = start("--with-worker")
    httpx2.post(f"{address_of(process)}/v1/jobs", json=SPEC, headers={"Prefer": "wait=50"}, timeout=60)
    children = children_of(process.pid)
    assert children
    process.kill()
    wait_until(lambda: not any(is_alive(child) for child in children), 15)


@pytest.mark.slow
def test_it_says_in_words_what_keeps_it_from_starting(start: Start):
    process = start(GRADCLINIC_DATABASE_URL="postgresql+psycopg://nobody@127.0.0.1:1/none")
    _, said = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "The database does not answer" in said
    assert "Traceback" not in said


class TestWorkerProcess:
    def test_a_worker_that_keeps_dying_is_given_up(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("service.worker_process.PAUSE_SECONDS", 0.01)
        losses: list[bool] = []
        worker = WorkerProcess(lambda: losses.append(worker.lost), (sys.executable, "-c", "raise SystemExit(7)"))
        worker.start()
        wait_until(lambda: bool(losses))
        worker.stop()
        assert (losses, MAX_DEATHS) == ([True], 3)

    def test_a_worker_that_died_is_started_again(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        monkeypatch.setattr("service.worker_process.PAUSE_SECONDS", 0.01)
        script = f"import os, time; open('{tmp_path}/' + str(os.getpid()), 'w').close(); time.sleep(60)"
        worker = WorkerProcess(lambda: None, (sys.executable, "-c", script))
        worker.start()
        wait_until(lambda: len(list(tmp_path.iterdir())) == 1)
        os.kill(int(next(tmp_path.iterdir()).name), signal.SIGKILL)
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
        worker.stop()
        assert not worker.lost
        assert not any(is_alive(int(path.name)) for path in tmp_path.iterdir())

    def test_one_that_does_not_stop_is_killed_with_its_children(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        monkeypatch.setattr("service.worker_process.STOP_SECONDS", 0.2)
        child = f"import os, time; open('{tmp_path}/' + str(os.getpid()), 'w').close(); time.sleep(60)"
        script = (
            "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
            f"subprocess.run([sys.executable, '-c', {child!r}])"
        )
        worker = WorkerProcess(lambda: None, (sys.executable, "-c", script))
        worker.start()
        wait_until(lambda: len(list(tmp_path.iterdir())) == 1)
        worker.stop()
        wait_until(lambda: not is_alive(int(next(tmp_path.iterdir()).name)))


def children_of(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=,ppid=", "-A"], capture_output=True, text=True, check=True).stdout  # noqa: S607
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    own = [child for child, parent in pairs if parent == pid]
    return own + [found for child in own for found in children_of(child)]


def is_alive(pid: int) -> bool:
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S607
    return listed.stdout.strip() != "" and not listed.stdout.startswith("Z")
