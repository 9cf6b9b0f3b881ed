"""Turns of timers and what host.json says of queues."""

from datetime import UTC, datetime

import pytest

from localhost.problems import SetupError
from localhost.triggers import QueueOptions, next_turn, read_queue_options


@pytest.mark.parametrize(
    ("schedule", "after", "turn"),
    [
        ("*/10 * * * * *", "2025-01-01T00:00:01", "2025-01-01T00:00:10"),
        ("*/10 * * * * *", "2025-01-01T00:00:10", "2025-01-01T00:00:20"),
        ("30 */5 * * * *", "2025-01-01T00:00:31", "2025-01-01T00:05:30"),
        ("0 0 3 * * *", "2025-01-01T03:00:00", "2025-01-02T03:00:00"),
        ("0 0 0 * * 1-5", "2025-01-03T00:00:00", "2025-01-06T00:00:00"),
        ("0 0 0 13 * 5", "2025-01-01T00:00:00", "2025-06-13T00:00:00"),
        ("0 30 2 30 3 *", "2025-01-01T00:00:00", "2025-03-30T02:30:00"),
    ],
    ids=["seconds", "later", "minutes", "daily", "weekdays", "both days match", "no daylight saving"],
)
def test_next_turn(schedule: str, after: str, turn: str) -> None:
    """NCRONTAB has seconds first, counts in UTC, and wants both kinds of days to match."""
    found = next_turn(schedule, datetime.fromisoformat(after).replace(tzinfo=UTC).timestamp())

    assert datetime.fromtimestamp(found, UTC).isoformat() == f"{turn}+00:00"


def test_queue_options() -> None:
    """host.json's words are taken; the others are the host's defaults."""
    given = {"batchSize": 4, "visibilityTimeout": "00:01:30", "messageEncoding": "none", "maxDequeueCount": 2}

    options = read_queue_options({"extensions": {"queues": given}})

    assert options == QueueOptions(batch_size=4, most_tries=2, retry_after_s=90, longest_poll_s=60, is_base64=False)
    assert read_queue_options({}) == QueueOptions()


def test_queue_options_refused() -> None:
    """A time that is none is quoted."""
    with pytest.raises(SetupError, match="'1m'"):
        read_queue_options({"extensions": {"queues": {"visibilityTimeout": "1m"}}})
