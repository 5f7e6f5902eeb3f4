"""The health check: a fresh pulse is healthy; none, or an old one, is not."""

from __future__ import annotations

import os
import time

import pytest

from store.settings import Settings
from worker.health import FRESH_SECONDS, Pulse, main


@pytest.fixture
def pulse(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Pulse:
    monkeypatch.setenv("GRADCLINIC_DATA_DIR", str(settings.data_dir))
    return Pulse(settings)


def test_a_worker_that_never_beat_is_not_healthy(pulse: Pulse, capsys: pytest.CaptureFixture[str]):
    assert pulse.age_seconds() is None
    assert main() == 1
    assert "No worker" in capsys.readouterr().err


def test_a_worker_that_beats_is_healthy(pulse: Pulse):
    pulse.beat()
    assert main() == 0


def test_a_worker_that_stopped_beating_is_not_healthy(pulse: Pulse, capsys: pytest.CaptureFixture[str]):
    pulse.beat()
    long_ago = time.time() - FRESH_SECONDS - 1
    os.utime(pulse.path, (long_ago, long_ago))
    assert main() == 1
    assert "last round" in capsys.readouterr().err


def test_it_touches_its_file_at_most_once_a_second(pulse: Pulse):
    pulse.beat()
    pulse.path.unlink()
    pulse.beat()
    assert pulse.age_seconds() is None
