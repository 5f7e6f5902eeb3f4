"""The way to the broker: it holds back where there are enough messages, and fails fast where there is no broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from kombu.exceptions import OperationalError

from store.settings import Settings
from worker.app import make_app
from worker.outbox import RELAYED_MESSAGES, Outbox

SLOTS = 2


@contextmanager
def open_outbox(settings: Settings) -> Iterator[Outbox]:
    app = make_app(settings)
    outbox = Outbox(app, SLOTS)
    yield outbox
    outbox.close()
    app.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_in_memory_there_is_room_for_as_many_as_there_are_slots(settings_for: Callable[..., Settings]):
    with open_outbox(settings_for()) as outbox:
        assert outbox.room() == SLOTS
        outbox.send("one")
        assert outbox.room() == SLOTS - 1
        outbox.send("two")
        outbox.send("three")
        assert outbox.room() == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_in_redis_a_backlog_is_not_announced_over_and_over(
    settings_for: Callable[..., Settings], redis_settings: dict[str, str]
):
    with open_outbox(settings_for(**redis_settings)) as outbox:
        assert outbox.room() == RELAYED_MESSAGES
        for number in range(RELAYED_MESSAGES):
            outbox.send(str(number))
        assert outbox.room() == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_broker_that_is_away_is_an_error_at_once_and_not_for_ever(settings_for: Callable[..., Settings]):
    with open_outbox(settings_for(broker_url="redis://127.0.0.1:1/0")) as outbox:
        began = time.monotonic()
        with pytest.raises(OperationalError):
            outbox.room()
        with pytest.raises(OperationalError):
            outbox.send("job")
        assert time.monotonic() - began < 2
