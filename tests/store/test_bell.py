import socket
import time

import pytest
import redis
from structlog.testing import capture_logs

from store.bell import QUEUE, Bell


def test_without_a_broker_the_bell_is_silent():
    bell = Bell(None)

    bell.ring("job")
    bell.close()

    assert bell.check() == "none"


def test_a_ring_arrives_under_the_prefix(redis_settings: dict[str, str]):
    url, prefix = redis_settings["broker_url"], redis_settings["broker_prefix"]
    bell = Bell(url, prefix)

    bell.ring("01a1fb89-3bad-7116-b2fc-bec85b3d86b5")

    assert bell.check() == "ok"
    bell.close()
    with redis.Redis.from_url(url) as client:
        (message,) = client.lrange(f"{prefix}{QUEUE}", 0, -1)
    assert b"gradclinic.train_run" in message
    assert b"01a1fb89-3bad-7116-b2fc-bec85b3d86b5" in message


@pytest.mark.parametrize(
    "silent",
    [pytest.param(False, id="refuses"), pytest.param(True, id="accepts and says nothing", marks=pytest.mark.slow)],
)
def test_a_broker_that_is_away_costs_little_and_raises_nothing(silent: bool):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        if not silent:
            server.close()
        bell = Bell(url)

        start = time.monotonic()
        with capture_logs() as logs:
            for _ in range(50):
                bell.ring("job")
        seconds = time.monotonic() - start

        assert [line["event"] for line in logs] == ["bell_not_heard"]
        assert seconds < 8
        assert bell.check() == "unreachable"
        bell.close()
